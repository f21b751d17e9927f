"""The servers that Symbiont is compared with: each one's script, its environment, and how it is asked."""

from dataclasses import dataclass
from pathlib import Path

from serving.protocols import OPEN_INFERENCE, OPEN_INFERENCE_2D, Protocol, json_over_http

SCRIPTS = Path(__file__).parent
ENVIRONMENTS = Path(__file__).parents[4] / ".tools" / "peers"
# The two engines that each of them serves; the second is what Symbiont's host uses too.
ENGINES = ("onnxruntime", "openvino")


@dataclass(frozen=True)
class Peer:
    """A server. `environment` names a folder of `ENVIRONMENTS` and the requirements beside the scripts."""

    name: str
    environment: str
    protocol: Protocol
    title: str

    @property
    def script(self) -> Path:
        """What its Python runs."""
        return SCRIPTS / f"with_{self.name}.py"


PEERS = {
    peer.name: peer
    for peer in (
        Peer("triton", "pytriton", OPEN_INFERENCE_2D, "Triton, tokenizer inside"),
        Peer("pytriton", "pytriton", OPEN_INFERENCE_2D, "PyTriton"),
        Peer("litserve", "litserve", json_over_http("/predict"), "LitServe"),
        Peer("mlserver", "mlserver", OPEN_INFERENCE_2D, "MLServer, gRPC"),
        Peer("kserve", "kserve", OPEN_INFERENCE, "KServe, gRPC"),
        Peer("torchserve", "torchserve", json_over_http("/predictions/classifier"), "TorchServe"),
        Peer("bentoml", "bentoml", json_over_http("/classify"), "BentoML"),
    )
}
IN_PROCESS = "inprocess"


def environment_python(environment: str) -> Path:
    """Returns the interpreter of an environment, whether it is installed or not."""
    return ENVIRONMENTS / environment / "bin" / "python"


def installation_error(environment: str) -> str:
    """Returns why an environment cannot be used; empty when it can."""
    folder = ENVIRONMENTS / environment
    failed = folder / "error.txt"
    if failed.is_file():
        return failed.read_text().strip()
    return "" if (folder / ".installed").is_file() else "not installed: make bench-serving installs it"
