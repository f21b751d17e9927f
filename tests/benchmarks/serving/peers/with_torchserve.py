"""TorchServe: a handler with batching over HTTP, one worker. Needs Java 11 or newer."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

MODEL = """minWorkers: 1
maxWorkers: 1
batchSize: 32
maxBatchDelay: 5
responseTimeout: 120
"""


class Handler:
    """What TorchServe's worker calls: rows of a batch are calls."""

    def initialize(self, context: Any) -> None:
        sys.path.append(os.environ["BENCH_SCRIPTS"])
        from classifier import Classifier

        self.classifier = Classifier()

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[list[str]]:
        bodies = [row.get("body") or row.get("data") for row in data]
        calls = [(body if isinstance(body, dict) else json.loads(body))["texts"] for body in bodies]
        labels = iter(self.classifier(list(itertools.chain(*calls))))
        return [list(itertools.islice(labels, len(call))) for call in calls]


_handler = Handler()


def handle(data: Any, context: Any) -> Any:
    """The entry that the archive names."""
    if not hasattr(_handler, "classifier"):
        _handler.initialize(context)
    return _handler.handle(data, context) if data else None


def main() -> None:
    port, work, binaries = int(os.environ["BENCH_PORT"]), Path(os.environ["BENCH_WORK"]), Path(sys.executable).parent
    work.mkdir(parents=True, exist_ok=True)
    (work / "model.yaml").write_text(MODEL)
    archive = [binaries / "torch-model-archiver", "--model-name", "classifier", "--version", "1.0", "--force"]
    files = ["--handler", __file__, "--config-file", work / "model.yaml", "--export-path", work]
    subprocess.run([*archive, *files], check=True)
    addresses = zip(("inference", "management", "metrics"), (port, port + 1, port + 2), strict=True)
    config = "".join(f"{name}_address=http://127.0.0.1:{number}\n" for name, number in addresses)
    (work / "config.properties").write_text(
        f"{config}grpc_inference_port={port + 3}\ngrpc_management_port={port + 4}\n"
        f"disable_token_authorization=true\nenable_envvars_config=false\nnumber_of_netty_threads=2\n"
    )
    start = ["--start", "--foreground", "--ncs", "--disable-token-auth", "--model-store", work, "--models"]
    argv = [binaries / "torchserve", *start, "classifier.mar", "--ts-config", work / "config.properties"]
    env = os.environ | {
        "BENCH_SCRIPTS": str(Path(__file__).parent),
        "LOG_LOCATION": str(work / "logs"),
        "METRICS_LOCATION": str(work / "logs"),
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
    }
    os.chdir(work)
    os.execve(argv[0], [str(part) for part in argv], env)


if __name__ == "__main__":
    main()
