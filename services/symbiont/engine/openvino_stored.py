"""The graph of a base as an artifact, so that only the first to need it converts, and only that one imports torch.

Its id is the base's digest and OpenVINO's version: whoever has the base finds it. Whoever may not write, as hosts that
see the store read-only, uses what is there and converts in memory where nothing is.
"""

import logging
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import openvino as ov  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.numpy import load_file, save

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import AlreadyExists, IntegrityError, NotFound, SymbiontError, Unavailable
from symbiont.engine.inputs import InputForm
from symbiont.engine.openvino_encoder import GraphEncoder, Places, Probe, places
from symbiont.engine.openvino_names import KIND, graph_id
from symbiont.engine.runtime import HostFacts

# Files of an artifact.
GRAPH, WEIGHTS, PROBES = "encoder.xml", "encoder.bin", "probes.safetensors"
_LOG = logging.getLogger(__name__)


class Fields(BaseModel):
    """The manifest of the artifact, but for its files; names are those of `GraphEncoder`.

    Attributes:
        segment_starts: of each probe.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["graph"] = "graph"
    format_version: Literal[1] = 1
    facts: HostFacts
    form: InputForm
    inputs: tuple[str, ...]
    heads: tuple[int, int]
    segment_starts: tuple[int, ...]


def load_graph(store: ArtifactStore, base_digest: str) -> GraphEncoder:
    """Returns the graph of a base: the stored one, or, where there is none, a new one, which it stores if it may.

    Raises:
        NotFound: no such base.
        IntegrityError: the base is damaged, or its manifest does not describe it.
        RuntimeError: the base cannot be converted.
    """
    store.path("bases", base_digest)
    stored = _find(store, base_digest)
    if stored is not None:
        return stored
    from symbiont.engine.encoders import load_encoder
    from symbiont.engine.openvino_convert import convert

    encoder = convert(load_encoder(store, base_digest))
    _keep(store, encoder)
    return encoder


def put_graph(
    store: ArtifactStore, kind: str, model: Any, fields: BaseModel, files: dict[str, Path | bytes] | None = None
) -> str:
    """Stores an openvino.Model with further files; returns the digest of the artifact."""
    with tempfile.TemporaryDirectory() as folder:
        # What is not int8 stays fp32: half of it would be an error of its own.
        ov.save_model(model, Path(folder) / GRAPH, compress_to_fp16=False)
        graph = {name: Path(folder) / name for name in (GRAPH, WEIGHTS)}
        return store.put(kind, {**graph, **(files or {})}, fields.model_dump(mode="json"))


def read_graph(store: ArtifactStore, kind: str, digest: str, facts: HostFacts) -> tuple[Any, Places]:
    """Returns what `put_graph` stored, and where in it adapters go.

    Raises:
        NotFound: no such artifact.
        IntegrityError: it is damaged, or is no graph of the base with these facts.
    """
    folder = store.path(kind, digest)
    try:
        model: Any = ov.Core().read_model(folder / GRAPH, folder / WEIGHTS)
        return model, places(model, facts)
    except RuntimeError as exc:
        raise IntegrityError(f"{kind}/{digest}: is no graph of this base: {exc}") from exc


def _find(store: ArtifactStore, base_digest: str) -> GraphEncoder | None:
    try:
        digest = store.resolve(KIND, graph_id(base_digest))
    except NotFound:
        return None
    except Unavailable as exc:
        _LOG.warning("the base %s is converted here: %s", base_digest, exc)
        return None
    try:
        return _read(store, digest, base_digest)
    except (NotFound, IntegrityError) as exc:
        _LOG.warning("the base %s is converted anew: %s", base_digest, exc)
        with suppress(OSError, SymbiontError):
            store.delete(KIND, digest)
        return None


def _read(store: ArtifactStore, digest: str, base_digest: str) -> GraphEncoder:
    try:
        fields = Fields.model_validate(store.manifest(KIND, digest))
    except ValidationError as exc:
        raise IntegrityError(f"{KIND}/{digest}: the manifest does not describe a graph") from exc
    if fields.facts.digest != base_digest:
        raise IntegrityError(f"{KIND}/{digest}: made of the base {fields.facts.digest}, not of {base_digest}")
    model, found = read_graph(store, KIND, digest, fields.facts)
    probes = _probes(load_file(store.path(KIND, digest) / PROBES), fields.segment_starts)
    return GraphEncoder(fields.facts, fields.form, model, fields.inputs, *found, fields.heads, probes)


def _keep(store: ArtifactStore, encoder: GraphEncoder) -> None:
    """Stores a graph; whatever keeps it from that keeps no host from serving."""
    if not store.writable():
        _LOG.info("the graph of the base %s is not stored: the store is read-only", encoder.facts.digest)
        return
    try:
        _put(store, encoder)
    # OpenVINO's own error where it cannot write is a RuntimeError.
    except (OSError, RuntimeError, SymbiontError) as exc:
        _LOG.warning("the graph of the base %s is not stored: %s", encoder.facts.digest, exc)


def _put(store: ArtifactStore, encoder: GraphEncoder) -> None:
    fields = Fields(
        facts=encoder.facts,
        form=encoder.form,
        inputs=encoder.inputs,
        heads=encoder.heads,
        segment_starts=tuple(probe.segment_start for probe in encoder.probes),
    )
    arrays = {
        f"{index}.{name}": getattr(probe, name)
        for index, probe in enumerate(encoder.probes)
        for name in ("ids", "hidden")
    }
    digest = put_graph(store.like("bases", encoder.facts.digest), KIND, encoder.model, fields, {PROBES: save(arrays)})
    try:
        store.tag(KIND, graph_id(encoder.facts.digest), digest)
    except AlreadyExists:
        # Another was faster; its graph does the same.
        store.delete(KIND, digest)


def _probes(arrays: dict[str, Any], starts: tuple[int, ...]) -> tuple[Probe, ...]:
    return tuple(Probe(arrays[f"{n}.ids"], start, arrays[f"{n}.hidden"]) for n, start in enumerate(starts))
