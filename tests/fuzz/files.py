"""Every reader of files, with good ones that were changed by chance: each is read, or refused with a reason."""

import hashlib
import io
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from onnx import TensorProto, helper, numpy_helper

from fuzz.grammar import mutated
from support.bundles import random_bundle, tiny_base
from support.outcomes import EVERY
from support.tiny import save_base
from symbiont.bundle import export_peft, import_peft, load_bundle
from symbiont.bundle import own_module as graphs
from symbiont.common.artifacts import ArtifactStore, SigningKey, Trust
from symbiont.common.errors import SymbiontError
from symbiont.evaluation.storing import outcome_from_bytes, outcome_to_bytes
from symbiont.tokenization.registering import read_source
from symbiont.training import bases
from symbiont.training.data.datasets import Upload
from symbiont.training.data.header import Header
from symbiont.training.data.rows import LabelKind, Row
from symbiont.training.executors.kubernetes_template import read_template
from symbiont.training.gate.annotations import AnnotationFormat, export, label
from symbiont.training.types import Source

ROWS = [("Where is my order?", "a"), ("请帮我取消订单", "b"), ("good bank", "a"), ("bad bank", "b")] * 3


@dataclass
class Target:
    """A reader, and files that it takes."""

    read: Callable[[bytes], object]
    seeds: list[bytes]


@dataclass
class Found:
    """What readings ended with, and those that ended as none may."""

    ends: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)


def run(targets: Mapping[str, Target], count: int, seed: int) -> Found:
    """Reads so many files, each reader as often as any other; the first readings are of good ones, unchanged."""
    found, chance = Found(), random.Random(seed)
    for name, target in targets.items():
        for content in target.seeds:
            target.read(content)
            found.ends[f"{name}: read"] += 1
    names = list(targets)
    for number in range(count):
        name = names[number % len(names)]
        content = mutated(chance, chance.choice(targets[name].seeds))
        try:
            targets[name].read(content)
        except SymbiontError:
            found.ends[f"{name}: refused"] += 1
        except BaseException as exc:
            if isinstance(exc, KeyboardInterrupt):
                raise
            found.bad.append(f"{name}: {type(exc).__name__}: {str(exc)[:200]} for {content[:4000].hex()}")
        else:
            found.ends[f"{name}: read"] += 1
    return found


def make_targets(folder: Path) -> dict[str, Target]:
    """Returns all readers by name; they work in the folder."""
    return {
        **_datasets(),
        **_labels(),
        **_bundles(folder / "bundles"),
        **_bases(folder / "bases"),
        **_settings(folder / "settings"),
        "own module": Target(lambda content: graphs.check(content, 6, 4), [_graph()]),
        "outcomes": Target(outcome_from_bytes, [outcome_to_bytes(outcome) for outcome in EVERY.values()]),
    }


def _graph() -> bytes:
    """Returns layers of a customer's own, as training writes them."""
    weight = numpy_helper.from_array(np.ones((4, 6), np.float32), "weight")
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", size])
        for name, size in ((graphs.INPUT, 6), (graphs.OUTPUT, 4))
    ]
    layer = helper.make_node("Gemm", [graphs.INPUT, "weight"], [graphs.OUTPUT], transB=1)
    made = helper.make_graph([layer], "own", ends[:1], ends[1:], [weight])
    opset = helper.make_opsetid("", graphs.OPSET)
    model = helper.make_model(made, opset_imports=[opset], ir_version=graphs.IR_VERSION)
    return bytes(model.SerializeToString())


def _datasets() -> dict[str, Target]:
    def reader(format: str) -> Callable[[bytes], None]:
        def read(content: bytes) -> None:
            pending = Upload(Header("rows", format, "text", "label"), 1 << 20)
            try:
                pending.write(content)
                pending.check()
            finally:
                pending.close()

        return read

    stream = io.BytesIO()
    pq.write_table(pa.table({"text": [t for t, _ in ROWS], "label": [name for _, name in ROWS]}), stream)
    lines = [json.dumps({"text": text, "label": name}) for text, name in ROWS]
    seeds = {
        "CSV": "\n".join(["text,label", *(f'"{text}",{name}' for text, name in ROWS)]).encode(),
        "TSV": "\n".join(["text\tlabel", *(f"{text}\t{name}" for text, name in ROWS)]).encode(),
        "JSONL": "\n".join(lines).encode(),
        "PARQUET": stream.getvalue(),
    }
    return {f"dataset {format}": Target(reader(format), [seed]) for format, seed in seeds.items()}


def _labels() -> dict[str, Target]:
    rows = [Row(text, name) for text, name in ROWS]

    def reader(format: AnnotationFormat) -> Callable[[bytes], object]:
        return lambda content: label(rows, LabelKind.CLASS, "d" * 64, format, content, False)

    made = {format: b"".join(export(rows, LabelKind.CLASS, "d" * 64, format)) for format in AnnotationFormat}
    return {f"labels {format}": Target(reader(format), [content]) for format, content in made.items()}


def _bundles(folder: Path) -> dict[str, Target]:
    """Of a bundle all digests are right, whatever is in it: as if whoever changed it had written it."""
    store = ArtifactStore(folder / "artifacts")
    base = tiny_base(store)
    digest, _ = random_bundle(store, base)
    place = Path(store.root) / "bundles"
    parts = {name: (place / digest / name).read_bytes() for name in ("manifest.json", "adapter.safetensors")}
    export_peft(store, digest, folder / "peft")

    def plant(manifest: bytes, changed: Mapping[str, bytes]) -> None:
        name, root = hashlib.sha256(manifest).hexdigest(), folder / "planted"
        shutil.copytree(place / digest, root / "bundles" / name)
        for file, content in {"manifest.json": manifest, **changed}.items():
            (root / "bundles" / name / file).write_bytes(content)
        try:
            load_bundle(ArtifactStore(root), name)
        finally:
            shutil.rmtree(root)

    def weights(content: bytes) -> None:
        manifest = json.loads(parts["manifest.json"])
        manifest["files"]["adapter.safetensors"] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
        }
        plant(json.dumps(manifest).encode(), {"adapter.safetensors": content})

    def peft(name: str) -> Callable[[bytes], None]:
        kept = (folder / "peft" / name).read_bytes()

        def read(content: bytes) -> None:
            (folder / "peft" / name).write_bytes(content)
            try:
                import_peft(folder / "peft")
            finally:
                (folder / "peft" / name).write_bytes(kept)

        return read

    files = {
        name: (folder / "peft" / name).read_bytes() for name in ("adapter_config.json", "adapter_model.safetensors")
    }
    return {
        "bundle manifest": Target(lambda content: plant(content, {}), [parts["manifest.json"]]),
        "bundle weights": Target(weights, [parts["adapter.safetensors"]]),
        **{f"PEFT {name}": Target(peft(name), [content]) for name, content in files.items()},
    }


def _bases(folder: Path) -> dict[str, Target]:
    base = save_base(folder / "base")
    artifacts = ArtifactStore(folder / "artifacts")
    names = ("config.json", "tokenizer.json", "model.safetensors")
    kept = {name: (base / name).read_bytes() for name in names}

    def reader(name: str) -> Callable[[bytes], None]:
        def read(content: bytes) -> None:
            (base / name).write_bytes(content)
            try:
                bases.register(artifacts, "tiny", Source("folder", str(base)), "", "")
                read_source(base, "source", 0)
            finally:
                (base / name).write_bytes(kept[name])
                shutil.rmtree(folder / "artifacts", ignore_errors=True)

        return read

    return {f"base {name}": Target(reader(name), [kept[name]]) for name in names}


def _settings(folder: Path) -> dict[str, Target]:
    folder.mkdir(parents=True)
    key = SigningKey.make(folder / "key.pem")

    def in_file(read: Callable[[Path], object]) -> Callable[[bytes], object]:
        def reading(content: bytes) -> object:
            (folder / "file").write_bytes(content)
            return read(folder / "file")

        return reading

    def trusted(content: bytes) -> object:
        return Trust.parse(content.decode(errors="replace"), required=True)

    template = b"spec:\n  template:\n    spec:\n      nodeSelector: {pool: gpu}\n      tolerations: [{key: gpu}]\n"
    return {
        "signing key": Target(in_file(SigningKey.read), [(folder / "key.pem").read_bytes()]),
        "trusted keys": Target(trusted, [key.line("acme").encode()]),
        "pod template": Target(in_file(read_template), [template]),
    }
