"""The quantised form of a base: an artifact of its own, of which int8 graphs are compiled when a bundle wants them."""

import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import IntegrityError, ResourceExhausted
from symbiont.engine.openvino_encoder import GraphEncoder
from symbiont.engine.openvino_graphs import GraphTable
from symbiont.engine.openvino_stored import read_graph

KIND = "quantized"
# Quantised forms that bundles in memory use at a time. Two, so that bundles of the one before stay while those of a
# new one come; each holds the weights of its graphs.
MAX_TABLES = 2


class Fields(BaseModel):
    """The manifest of the artifact, but for its files.

    Attributes:
        base_digest: of the base that it was made of.
        inputs: of the graph, in order, by their names in `Inputs`.
        rows: that its ranges were taken from.
        versions: of the packages that made it, by name.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["quantized"] = "quantized"
    format_version: Literal[1] = 1
    base_digest: str
    inputs: tuple[str, ...]
    rows: int
    versions: dict[str, str]


def load_quantized(store: ArtifactStore, digest: str, base: GraphEncoder) -> GraphEncoder:
    """Loads and verifies a quantised form of a base.

    Raises:
        NotFound: no such artifact.
        IntegrityError: it is damaged, was made of another base, or is no graph of this one.
    """
    try:
        fields = Fields.model_validate(store.manifest(KIND, digest))
    except ValidationError as exc:
        raise IntegrityError(f"{KIND}/{digest}: the manifest does not describe a quantised base") from exc
    if fields.base_digest != base.facts.digest:
        raise IntegrityError(f"{KIND}/{digest}: made of the base {fields.base_digest}, not of {base.facts.digest}")
    if fields.inputs != base.inputs:
        raise IntegrityError(f"{KIND}/{digest}: takes {fields.inputs}, the base takes {base.inputs}")
    model, found = read_graph(store, KIND, digest, base.facts)
    if (count := len(found.attentions)) != len(base.attentions):
        raise IntegrityError(f"{KIND}/{digest}: has {count} layers, the base has {len(base.attentions)}")
    return replace(base, model=model, **found._asdict())


class QuantizedTables:
    """Graph tables by digest, made when they are first asked for. Safe to call from several threads.

    A table lives as long as a bundle in memory holds it, and the last one until the next is made, so that a bundle
    that comes and goes does not compile it anew each time.
    """

    def __init__(self, load: Callable[[str], GraphTable]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._tables: weakref.WeakValueDictionary[str, GraphTable] = weakref.WeakValueDictionary()
        self._last: GraphTable | None = None

    def get(self, digest: str) -> GraphTable:
        """Returns a table, compiling it if it is not there: seconds.

        Raises:
            NotFound: no such artifact.
            IntegrityError: it is damaged, or was made of another base.
            ResourceExhausted: `MAX_TABLES` others are in use.
        """
        with self._lock:
            table = self._tables.get(digest)
            if table is None:
                self._last = None
                if len(self._tables) >= MAX_TABLES:
                    raise ResourceExhausted(f"{KIND}/{digest}: {MAX_TABLES} other quantised forms are in use")
                table = self._tables[digest] = self._load(digest)
            self._last = table
            return table
