"""Answers rows of any mix of bundles on one base; a row's answer is the same whatever stands beside it."""

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from symbiont.bundle.manifest import Golden
from symbiont.bundle.store import Bundle, load_bundle
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import IntegrityError, InvalidArgument, SymbiontError, Unavailable
from symbiont.engine import adapters
from symbiont.engine.heads import Head, apply_heads
from symbiont.engine.packing import PackingLimits, cut
from symbiont.engine.runtime import Array, Batch, HostFacts, Ids, Runtime
from symbiont.engine.slots import BundleBank, Content, Slot

# Training and serving may use other kernels and batch sizes; a wrong weight moves logits far more than this.
GOLDEN_TOLERANCE = 1e-3

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """One tokenized text and the bundle that is to answer it; an empty digest asks the plain base."""

    input_ids: Ids
    bundle: str = ""


class Engine:
    """A base, the bundles resident beside it, and how rows pass through them. Safe to call from several threads."""

    def __init__(
        self, runtime: Runtime, store: ArtifactStore, *, max_slots: int = 64, limits: PackingLimits | None = None
    ) -> None:
        self._runtime = runtime
        self._store = store
        self._limits = limits or PackingLimits()
        self._bank = BundleBank(self._load, max_slots)
        self._computing = threading.Lock()

    @property
    def facts(self) -> HostFacts:
        """The base that answers."""
        return self._runtime.facts

    def is_resident(self, digests: Iterable[str]) -> bool:
        """Whether rows of all these bundles can be answered without loading anything."""
        return all(self._bank.is_resident(digest) for digest in digests)

    def resident(self) -> list[str]:
        """Returns the digests of the resident bundles, least recently used first."""
        return self._bank.digests()

    def infer(self, rows: Sequence[Row]) -> list[Array | SymbiontError]:
        """Answers rows, loading bundles that are not resident.

        Returns:
            per row: the logits [labels] of its bundle; the pooled hidden state [hidden_size] of the plain base; or the
            error that this row alone has.
        """
        results: list[Array | SymbiontError | None] = [self._refuse(row.input_ids) for row in rows]
        wanted = {row.bundle for row, refused in zip(rows, results, strict=True) if refused is None}
        with self._bank.hold(wanted) as slots:
            work: list[tuple[int, Slot]] = []
            for index, row in enumerate(rows):
                if results[index] is None:
                    slot = slots[row.bundle]
                    if isinstance(slot, Slot):
                        work.append((index, slot))
                    else:
                        results[index] = slot
            contents = [slot.content for _, slot in work]
            for position, answer in self._compute([rows[index].input_ids for index, _ in work], contents):
                index, slot = work[position]
                results[index] = answer if np.isfinite(answer).all() else _not_finite(slot)
        return [result for result in results if result is not None]

    def _compute(self, input_ids: Sequence[Ids], contents: Sequence[Content]) -> Iterator[tuple[int, Array]]:
        """Yields (position, answer) in the order of computing."""
        for group in cut([len(ids) for ids in input_ids], self._limits):
            heads = [contents[position].head for position in group]
            batch = Batch(
                input_ids=[input_ids[position] for position in group],
                adapters=[contents[position].adapter for position in group],
                poolings=[head.pooling if head else self.facts.pooling for head in heads],
            )
            with self._computing:
                pooled = self._runtime.encode(batch)
            yield from zip(group, apply_heads(pooled, heads), strict=True)

    def _refuse(self, input_ids: Ids) -> SymbiontError | None:
        length, limit, vocabulary = len(input_ids), self.facts.max_length, self.facts.vocab_size
        if not 1 <= length <= limit:
            return InvalidArgument("input_ids", f"a row has {length} tokens; this base takes 1 to {limit}")
        if input_ids.min() < 0 or input_ids.max() >= vocabulary:
            return InvalidArgument("input_ids", f"an id is outside the base's vocabulary of {vocabulary}")
        return None

    def _load(self, digest: str) -> Content:
        """Loads, verifies and tries a bundle.

        Raises:
            SymbiontError: it cannot be used; the message names it.
        """
        try:
            bundle = load_bundle(self._store, digest, expected_base=self.facts.digest)
            content = self._fit(bundle)
            self._check_golden(bundle.manifest.golden, content)
        except IntegrityError as exc:
            _LOG.warning("bundle %s refused: %s", digest, exc)
            named = str(exc) if digest in str(exc) else f"bundles/{digest}: {exc}"
            raise IntegrityError(named) from exc
        except SymbiontError:
            raise
        except Exception as exc:
            # Out of memory, a failing disk: the rows of this bundle fail, those beside it must not.
            _LOG.exception("bundle %s not loaded", digest)
            raise Unavailable(f"bundles/{digest}: cannot be loaded now; the host's log says why") from exc
        return content

    def _fit(self, bundle: Bundle) -> Content:
        head = bundle.manifest.head
        if head.hidden_size != self.facts.hidden_size:
            raise IntegrityError(f"the head takes {head.hidden_size} values, the base gives {self.facts.hidden_size}")
        adapter = adapters.fit(bundle.manifest.method, bundle.adapter, self.facts.linears)
        return Content(
            adapter=self._runtime.place(adapter) if adapter else None,
            head=Head(head.pooling, bundle.head["weight"], bundle.head["bias"]),
        )

    def _check_golden(self, golden: Golden, content: Content) -> None:
        input_ids = [np.asarray(ids, dtype=np.int32) for ids in golden.input_ids]
        for ids in input_ids:
            if (refused := self._refuse(ids)) is not None:
                raise IntegrityError(f"a golden row does not fit the base: {refused}")
        for position, answer in self._compute(input_ids, [content] * len(input_ids)):
            difference = float(np.abs(answer - np.asarray(golden.logits[position])).max())
            # Written so that NaN fails too.
            if not difference <= GOLDEN_TOLERANCE:
                raise IntegrityError(f"golden row {position} differs from training's logits by {difference:.2g}")


def _not_finite(slot: Slot) -> SymbiontError:
    return IntegrityError(f"bundles/{slot.digest}: the answer is not finite")
