"""Answers rows of any mix of bundles on one base; a row's answer is the same whatever stands beside it."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from symbiont.bundle.heads import PooledHead
from symbiont.bundle.manifest import BundleManifest, Golden, PrefixMethod
from symbiont.bundle.store import Bundle, load_bundle
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    IntegrityError,
    InvalidArgument,
    SymbiontError,
    Unavailable,
)
from symbiont.engine import adapters
from symbiont.engine.figures import HostFigures, size_of
from symbiont.engine.heads import Head, NoHead, apply_heads, head_of
from symbiont.engine.lanes import Lanes
from symbiont.engine.packing import PackingLimits, cut, spread
from symbiont.engine.row import NO_FEATURES, Ids, Row
from symbiont.engine.runtime import Array, Batch, HostFacts, Runtime, View
from symbiont.engine.slots import BundleBank, Content, Slot

if TYPE_CHECKING:
    from symbiont.engine.own_module import OwnModule

# How far int8 may be from the golden values, as a part of a row's greatest: these are rows of random ids, which only
# tell a graph that computes something else. What int8 does to real rows was measured when the bundle was made.
INT8_TOLERANCE = 1.0

# Each with the position of its row.
Answers = list[tuple[int, Array | SymbiontError]]

_LOG = logging.getLogger(__name__)


class Engine:
    """A base, the bundles resident beside it, and how rows pass through them. Safe to call from several threads."""

    def __init__(
        self, runtime: Runtime, store: ArtifactStore, *, max_slots: int = 64, limits: PackingLimits | None = None
    ) -> None:
        self._runtime = runtime
        self._store = store
        self._limits = limits or PackingLimits()
        self._bank = BundleBank(self._load, max_slots)
        self._computing = Lanes(runtime.lanes)
        # Of a request for each lane and of one whose bundles are being loaded; each computes in its own thread, too.
        self._helpers = ThreadPoolExecutor(max(1, (runtime.lanes - 1) * (runtime.lanes + 1)), "lane")
        self._counting = threading.Lock()
        self._expired_rows = self._groups = 0

    @property
    def facts(self) -> HostFacts:
        """The base that answers."""
        return self._runtime.facts

    @property
    def lanes(self) -> int:
        """How many batches are computed beside each other."""
        return self._runtime.lanes

    def is_resident(self, digests: Iterable[str]) -> bool:
        """Whether rows of all these bundles can be answered without loading anything."""
        return all(self._bank.is_resident(digest) for digest in digests)

    def resident(self) -> list[str]:
        """Returns the digests of the resident bundles, least recently used first."""
        return self._bank.digests()

    def figures(self) -> HostFigures:
        """Returns what the host holds and did."""
        return replace(self._bank.figures(), expired_rows=self._expired_rows)

    def infer(self, rows: Sequence[Row], spare: int = 0) -> list[Array | SymbiontError]:
        """Answers rows, loading bundles that are not resident.

        Args:
            rows: what is asked.
            spare: lanes that they leave to others, if there are more than these.

        Returns:
            per row: the values of its bundle's head, [outputs] or [tokens, outputs]; the pooled hidden state
            [hidden_size] of the plain base; or the error that this row alone has.
        """
        results: list[Array | SymbiontError | None] = [self._refuse(row) for row in rows]
        wanted = {row.bundle for row, refused in zip(rows, results, strict=True) if refused is None}
        with self._bank.hold(wanted) as slots:
            work: list[tuple[int, Slot]] = []
            for index, row in enumerate(rows):
                if results[index] is None:
                    slot = slots[row.bundle]
                    problem = _check(row, slot.content) if isinstance(slot, Slot) else slot
                    if isinstance(slot, Slot) and problem is None:
                        work.append((index, slot))
                    else:
                        results[index] = problem
            contents = [slot.content for _, slot in work]
            for position, answer in self._compute([rows[index] for index, _ in work], contents, spare):
                index, slot = work[position]
                results[index] = _judged(answer, slot)
        return [result for result in results if result is not None]

    def answer_both(
        self, bundle: Bundle, quantized_digest: str, rows: Sequence[Ids]
    ) -> tuple[list[Array], list[Array]]:
        """Answers rows with a bundle that need not be stored, by the base as it is and by its quantised form.

        Returns:
            of each form, per row what `infer` returns.

        Raises:
            NotFound: there is no such quantised form.
            IntegrityError: the bundle does not fit the base, or the quantised form is damaged or of another base.
            FailedPrecondition: the runtime computes nothing in int8.
        """
        content = self._fit(bundle)
        quantized = self._runtime.quantized(quantized_digest, content.adapter)
        if quantized is None:
            raise FailedPrecondition("this runtime computes nothing in int8")
        asked = [Row(ids) for ids in rows]
        forms = (content, replace(content, quantized=quantized))
        exact, rounded = (self._all(asked, form) for form in forms)
        return exact, rounded

    def _all(self, rows: Sequence[Row], content: Content) -> list[Array]:
        """Returns the answers in the order of the rows, which do not expire."""
        answers: dict[int, Array] = {}
        for position, answer in self._compute(rows, [content] * len(rows)):
            if isinstance(answer, SymbiontError):
                raise answer
            answers[position] = answer
        return [answers[position] for position in range(len(rows))]

    def _compute(
        self, rows: Sequence[Row], contents: Sequence[Content], spare: int = 0
    ) -> Iterator[tuple[int, Array | SymbiontError]]:
        """Yields (position, answer) in no order; a row that expired before its turn costs nothing."""
        lengths = [len(row.input_ids) for row in rows]
        lanes = max(1, self.lanes - spare)
        # A lane that others use would gain nothing from a part of this.
        free = max(1, min(lanes, self.lanes - self._groups))
        groups, size = spread(cut(lengths, self._limits), lengths, free), sum(lengths)

        def answer(group: list[int]) -> Answers:
            with self._computing.one(size):
                return self._answer(group, rows, contents)

        for answered in self._beside(answer, groups, lanes):
            yield from answered

    def _beside(
        self, work: Callable[[list[int]], Answers], groups: Sequence[list[int]], threads: int
    ) -> Iterator[Answers]:
        """Yields what work gives for each group, in any order, from the caller's thread and from some that help it.

        Each thread takes the next group when it is done with one: of a large request no more parts wait than threads,
        and those of a small one need not wait for a thread. Where one fails, or the caller ends it, no more are taken.
        """
        left = deque(groups)

        def taken() -> Iterator[Answers]:
            try:
                while True:
                    try:
                        group = left.popleft()
                    except IndexError:
                        return
                    yield work(group)
            except BaseException:
                left.clear()
                raise

        helpers = [self._helpers.submit(lambda: list(taken())) for _ in range(min(threads, len(groups)) - 1)]
        try:
            yield from taken()
            for helper in helpers:
                # One that has not begun has nothing left to take.
                if not helper.cancel():
                    yield from helper.result()
        finally:
            left.clear()
            for helper in helpers:
                helper.cancel()

    def _answer(self, group: list[int], rows: Sequence[Row], contents: Sequence[Content]) -> Answers:
        now = time.monotonic()
        living = [position for position in group if rows[position].expires > now]
        late: Answers = [(position, _expired()) for position in group if rows[position].expires <= now]
        with self._counting:
            self._expired_rows += len(late)
            self._groups += 1
        try:
            if not living:
                return late
            answers = self._encode([rows[p] for p in living], [contents[p] for p in living])
        finally:
            with self._counting:
                self._groups -= 1
        return [*late, *zip(living, answers, strict=True)]

    def _encode(self, rows: Sequence[Row], contents: Sequence[Content]) -> list[Array | IntegrityError]:
        heads = [content.head for content in contents]
        batch = Batch(
            input_ids=[row.input_ids for row in rows],
            adapters=[content.adapter for content in contents],
            views=[head.view if head else self.facts.pooling for head in heads],
            segment_starts=[row.segment_start for row in rows],
            quantized=[content.quantized for content in contents],
        )
        return apply_heads(self._runtime.encode(batch), [row.features for row in rows], heads)

    def _refuse(self, row: Row) -> SymbiontError | None:
        length, limit, vocabulary = len(row.input_ids), self.facts.max_length, self.facts.vocab_size
        if not 1 <= length <= limit:
            return InvalidArgument("input_ids", f"a row has {length} tokens; this base takes 1 to {limit}")
        if row.input_ids.min() < 0 or row.input_ids.max() >= vocabulary:
            return InvalidArgument("input_ids", f"an id is outside the base's vocabulary of {vocabulary}")
        if not 0 <= row.segment_start < length:
            return InvalidArgument("segment_start", f"{row.segment_start} is not a position in a row of {length}")
        return None

    def _load(self, digest: str) -> Content:
        """Loads, verifies and tries a bundle.

        Raises:
            SymbiontError: it cannot be used; the message names it.
        """
        try:
            bundle = load_bundle(self._store, digest, expected_base=self.facts.digest)
            content = self._fit(bundle)
            self._check_golden(bundle.manifest.golden, content, self._runtime.tolerance)
            content = self._allow_int8(bundle.manifest, content)
        except IntegrityError as exc:
            _LOG.warning("bundle %s refused: %s", digest, exc)
            named = str(exc) if digest in str(exc) else f"bundles/{digest}: {exc}"
            raise IntegrityError(named, reason=exc.reason) from exc
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
        adapter = adapters.fit(
            bundle.manifest.method, bundle.adapter, self.facts.linears, self.facts.biases, self.facts.prefix
        )
        max_length = self._longest(bundle.manifest)
        placed = self._runtime.place(adapter) if adapter else None
        size = size_of(adapter) + size_of(bundle.head) + len(bundle.own_module)
        return Content(adapter=placed, head=_head(bundle), max_length=max_length, size=size)

    def _longest(self, manifest: BundleManifest) -> int | None:
        if not isinstance(manifest.method, PrefixMethod):
            return None
        left = self.facts.positions - manifest.method.virtual_tokens
        if manifest.max_tokens > left:
            raise IntegrityError(f"the prefix leaves {left} positions of the base, fewer than max_tokens")
        return left

    def _allow_int8(self, manifest: BundleManifest, content: Content) -> Content:
        """Moves a bundle that may to the quantised base; whatever is wrong with that one is no fault of the bundle."""
        if manifest.int8 is None or not manifest.int8.allowed:
            return content
        digest = manifest.int8.quantized_digest
        try:
            quantized = self._runtime.quantized(digest, content.adapter)
            if quantized is None:
                return content
            moved = replace(content, quantized=quantized)
            self._check_golden(manifest.golden, moved, INT8_TOLERANCE)
        except SymbiontError as exc:
            _LOG.warning("a bundle of %s is not computed in int8: %s", manifest.lineage.job, exc)
            return content
        except Exception:  # noqa: BLE001, what OpenVINO or the memory has against it is in the log
            _LOG.exception("a bundle of %s is not computed in int8: quantized/%s", manifest.lineage.job, digest)
            return content
        return moved

    def _check_golden(self, golden: Golden, content: Content, tolerance: float) -> None:
        rows = _golden_rows(golden)
        for row in rows:
            if (refused := self._refuse(row) or _check(row, content)) is not None:
                raise IntegrityError(f"a golden row does not fit the base: {refused}")
        for position, answer in self._compute(rows, [content] * len(rows)):
            if isinstance(answer, SymbiontError):
                raise answer
            expected = np.asarray(golden.logits[position])
            difference = float(np.abs(answer.reshape(-1) - expected).max())
            # Written so that NaN fails too.
            if not difference <= tolerance * max(1.0, float(np.abs(expected).max())):
                raise IntegrityError(f"golden row {position} differs from training's logits by {difference:.2g}")


def _judged(answer: Array | SymbiontError, slot: Slot) -> Array | SymbiontError:
    if isinstance(answer, IntegrityError):
        return IntegrityError(f"bundles/{slot.digest}: {answer}")
    if isinstance(answer, SymbiontError) or np.isfinite(answer).all():
        return answer
    return IntegrityError(f"bundles/{slot.digest}: the answer is not finite")


def _head(bundle: Bundle) -> Head | NoHead:
    head = bundle.manifest.head
    view: View = head.pooling if isinstance(head, PooledHead) else "tokens"
    if not bundle.head:
        return NoHead(view)
    return head_of(view, bundle.head, bundle.manifest.features, _own(bundle))


def _own(bundle: Bundle) -> "OwnModule | None":
    head = bundle.manifest.head
    if not isinstance(head, PooledHead) or head.own_module is None:
        return None
    # Few bundles have one, and hosts that compute in torch need OpenVINO for nothing else.
    from symbiont.engine.own_module import OwnModule

    return OwnModule(bundle.own_module, head.fused(bundle.manifest.features))


def _expired() -> SymbiontError:
    return DeadlineExceeded("the row's time ran out before its turn in the host")


def _check(row: Row, content: Content) -> SymbiontError | None:
    if content.max_length is not None and len(row.input_ids) > content.max_length:
        said = f"a row has {len(row.input_ids)} tokens; the prefix of its bundle leaves room for {content.max_length}"
        return InvalidArgument("input_ids", said)
    expected = content.head.features if content.head else 0
    if len(row.features) != expected:
        return InvalidArgument("features", f"a row has {len(row.features)}; its bundle takes {expected}")
    return None


def _golden_rows(golden: Golden) -> list[Row]:
    count = len(golden.input_ids)
    starts = golden.segment_starts or (0,) * count
    features = [np.asarray(row, np.float32) for row in golden.features] or [NO_FEATURES] * count
    ids = [np.asarray(row, np.int32) for row in golden.input_ids]
    return [Row(i, "", start, values) for i, start, values in zip(ids, starts, features, strict=True)]
