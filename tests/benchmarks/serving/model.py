"""The one model that all serve: MiniLM with the head of a bundle, as Symbiont trained it."""

import json
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from serving.peers import ENVIRONMENTS, IN_PROCESS
from symbiont.bundle.store import load_bundle
from symbiont.common.artifacts import ArtifactStore

OPSET = 17


@dataclass(frozen=True)
class Served:
    """Digests of what Symbiont serves, and the root of its artifact store."""

    artifacts: Path
    base: str
    tokenizer: str
    bundle: str


def write_model(served: Served, folder: Path) -> Path:
    """Writes tokenizer.json, model.onnx and facts.json for the peers; returns the folder."""
    store = ArtifactStore(served.artifacts)
    bundle = load_bundle(store, served.bundle)
    if bundle.adapter:
        raise ValueError("the bundle has an adapter, which the peers' model would lack")
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = store.path("tokenizers", served.tokenizer) / "tokenizer.json"
    (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    facts = {"labels": list(bundle.manifest.labels), "max_tokens": bundle.manifest.max_tokens}
    (folder / "facts.json").write_text(json.dumps(facts))
    _export(store.path("bases", served.base), bundle.head, folder / "model.onnx")
    return folder


def _export(base: Path, head: dict[str, object], file: Path) -> None:
    # The exporter wants `onnx`, which nothing else here needs: it is in the environment of the runtimes in process.
    sys.path.extend(str(path) for path in (ENVIRONMENTS / IN_PROCESS).glob("lib/python*/site-packages"))
    import torch
    from transformers import AutoModel

    encoder = AutoModel.from_pretrained(base, dtype=torch.float32, attn_implementation="eager").eval()
    encoder.pooler = None
    weight, bias = (torch.tensor(head[name]) for name in ("weight", "bias"))

    class Classifier(torch.nn.Module):
        """Mean over the tokens, then the head."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            weights = attention_mask[:, :, None].to(hidden.dtype)
            pooled = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
            return torch.nn.functional.linear(pooled, weight, bias)

    example = torch.ones(2, 8, dtype=torch.long)
    rows, row_of_tokens = {0: "rows"}, {0: "rows", 1: "tokens"}
    axes = {"input_ids": row_of_tokens, "attention_mask": row_of_tokens, "logits": rows}
    names = {"input_names": ["input_ids", "attention_mask"], "output_names": ["logits"]}
    with torch.no_grad(), warnings.catch_warnings():
        # Of constants that the trace takes for granted; that all labels agree is checked.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Classifier(), (example, example), file, dynamic_axes=axes, opset_version=OPSET, dynamo=False, **names
        )
