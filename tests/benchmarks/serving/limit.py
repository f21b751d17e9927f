"""The limit: a runtime in process with the tokenizer, no server at all. `limit.py RUNTIME` runs one.

It reads lines from its standard input, each the name of a JSON file with batches of texts, and answers each with a line
of JSON: seconds, CPU seconds, and the labels.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

Label = Callable[[Sequence[str]], Sequence[str]]


def _engine(settings: dict[str, str]) -> Label:
    """Symbiont's engine, as Triton runs it, without Triton."""
    import numpy as np
    from tokenizers import Tokenizer

    from symbiont.bundle.store import load_bundle
    from symbiont.common.artifacts import ArtifactStore
    from symbiont.engine.engine import Engine
    from symbiont.engine.loading import load_runtime
    from symbiont.engine.row import Row
    from symbiont.engine.settings import HostSettings

    store = ArtifactStore(settings["artifacts"])
    manifest = load_bundle(store, settings["bundle"]).manifest
    host = HostSettings(store.root, settings["base"], threads=int(settings["threads"]))
    engine = Engine(load_runtime(host, store), store)
    tokenizer = Tokenizer.from_file(str(store.path("tokenizers", settings["tokenizer"]) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(manifest.max_tokens)

    def label(texts: Sequence[str]) -> list[str]:
        rows = [np.array(row.ids, np.int32) for row in tokenizer.encode_batch_fast(list(texts))]
        logits = engine.infer([Row(row, settings["bundle"]) for row in rows])
        return [manifest.labels[int(values.argmax())] for values in logits]

    return label


def _classifier(settings: dict[str, str]) -> Label:
    """The engine that the peers serve; which one comes by the environment, as for them."""
    sys.path.insert(0, str(Path(__file__).parent / "peers"))
    from classifier import Classifier

    return Classifier()


def main() -> None:
    """Loads a runtime and answers until the input ends."""
    settings = json.loads(sys.argv[1])
    label = (_engine if settings["runtime"] == "engine" else _classifier)(settings)
    for line in sys.stdin:
        batches = json.loads(Path(line.strip()).read_text())
        label(batches[0])
        own, started = time.process_time(), time.perf_counter()
        labels = [name for batch in batches for name in label(batch)]
        answer = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - own, "labels": labels}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
