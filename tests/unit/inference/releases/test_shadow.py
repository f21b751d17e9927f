"""A shadow rides in the request of the answer, is compared with it, and never changes it."""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from symbiont.bundle import ScoreHead
from symbiont.bundle.fields import FlagField, NumberField
from symbiont.common.errors import DeadlineExceeded, IntegrityError, ResourceExhausted, SymbiontError, Unavailable
from symbiont.engine.row import HostAnswer
from symbiont.inference.types import Release, Role

Process = Any
YES, NO = [0.0, 4.0, 2.0], [4.0, 0.0, 2.0]
TEXTS = ["one two", "three"]


@pytest.fixture
def shadow(process: Process, release: Any) -> Release:
    tried: Release = release(weight=0, shadow=True, min_samples=10, max_error_rate_increase=0.5)
    process.begin(tried)
    return tried


def bundles(process: Process) -> list[list[str]]:
    """Returns the bundles of the rows of each request that went to a host."""
    return [[digest[-1] for digest in call] for call in process.hosts.bundles]


async def test_it_rides_in_the_same_request(process: Process, shadow: Release) -> None:
    answer = await process.ask(TEXTS, process.role())
    assert bundles(process) == [["1", "1", "2", "2"]]
    assert [row.tolist() for row in answer.rows] == [YES, YES]
    compared = process.releases.observed(shadow.name).trial.compared
    # Both give their best label the same probability.
    assert (compared.rows, compared.differing, compared.missed, compared.shift) == (2, 2, 0, pytest.approx(0))
    assert process.count("shadow_rows_total", result="other") == 2
    assert process.count("shadow_score_shift_count") == 2


async def test_disagreements_are_listed_by_the_hash_of_the_text(process: Process, shadow: Release) -> None:
    await process.ask(TEXTS, process.role())
    found = [each for _, each in process.disagreements.of(shadow.name)]
    assert [each.input_sha256 for each in found] == [hashlib.sha256(t.encode()).hexdigest() for t in TEXTS[::-1]]
    assert {(e.baseline.label, e.candidate.label) for e in found} == {("yes", "no")}
    assert {(e.baseline_version.number, e.candidate_version.number) for e in found} == {(1, 2)}


async def test_the_shift_of_scores_is_a_mean(process: Process, shadow: Release) -> None:
    process.hosts.logits[process.version("x", 2).bundle_digest] = [0.0, 8.0, 2.0]
    await process.ask(TEXTS, process.role())
    p, q = (np.exp(np.array(v) / 2)[1] / np.exp(np.array(v) / 2).sum() for v in (YES, [0.0, 8.0, 2.0]))
    compared = process.releases.observed(shadow.name).trial.compared
    assert (compared.differing, compared.shift / compared.rows) == (0, pytest.approx(q - p))
    assert process.disagreements.of(shadow.name) == []


async def test_rows_that_the_shadow_cannot_answer_change_nothing(process: Process, shadow: Release) -> None:
    process.hosts.broken = {process.version("x", 2).bundle_digest}
    answer = await process.ask(TEXTS, process.role())
    assert [row.tolist() for row in answer.rows] == [YES, YES]
    trial = process.releases.observed(shadow.name).trial
    assert (trial.compared.missed, trial.candidate.failed, trial.baseline.failed) == (2, 1, 0)
    # It costs no further call anything until it has answered a row again.
    assert process.table.unproven() == {process.version("x", 2)}
    assert process.role() is None


@pytest.mark.parametrize("error", [ResourceExhausted("too many rows"), Unavailable("gone"), SymbiontError("broke")])
async def test_a_request_that_fails_with_a_shadow_is_sent_alone(
    process: Process, shadow: Release, error: SymbiontError
) -> None:
    process.hosts.largest = (2, error)
    answer = await process.ask(TEXTS, process.role())
    assert [row.tolist() for row in answer.rows] == [YES, YES]
    assert bundles(process) == [["1", "1", "2", "2"], ["1", "1"]]
    trial = process.releases.observed(shadow.name).trial
    assert (trial.compared.missed, trial.baseline.failed) == (2, 0)


async def test_a_deadline_leaves_no_time_for_a_second_try(process: Process, shadow: Release) -> None:
    process.hosts.largest = (2, DeadlineExceeded("late"))
    with pytest.raises(DeadlineExceeded):
        await process.ask(TEXTS, process.role())
    assert len(bundles(process)) == 1


@pytest.mark.parametrize("change", ["base", "max_tokens"])
async def test_another_base_or_cut_gets_a_request_of_its_own(
    process: Process, release: Any, until: Any, change: str
) -> None:
    base = "b" * 64 if change == "base" else "a" * 64
    tried = release(weight=0, shadow=True, base=base)
    digest = tried.candidate.bundle_digest
    process.infos[digest] = replace(process.infos[digest], base_digest=base, max_tokens=64 if change == "base" else 1)
    process.begin(tried)
    answer = await process.ask(TEXTS, process.role())
    assert [row.tolist() for row in answer.rows] == [YES, YES]
    await until(lambda: process.releases.observed(tried.name).trial.compared.rows == 2)
    assert bundles(process) == [["1", "1"], ["2", "2"]]
    # The second one was cut as its own version wants it.
    assert [len(row) for row in process.hosts.calls[1][1]] == ([2, 1] if change == "base" else [1, 1])
    assert process.releases.observed(tried.name).trial.compared.differing == 2


async def test_an_answer_does_not_wait_for_shadows_that_are_behind(process: Process, release: Any) -> None:
    tried = release(weight=0, shadow=True, base="b" * 64)
    digest = tried.candidate.bundle_digest
    process.infos[digest] = replace(process.infos[digest], base_digest="b" * 64)
    process.hosts.slow = {"b" * 64: 60.0}
    process.begin(tried)
    for _ in range(20):
        await process.ask(TEXTS, process.role())
    compared = process.releases.observed(tried.name).trial.compared
    # Two run, eight wait; the others are counted and forgotten.
    assert (compared.rows, compared.missed) == (0, 2 * 10)


async def test_another_task_is_not_compared(process: Process, shadow: Release) -> None:
    digest = shadow.candidate.bundle_digest
    head = ScoreHead(pooling="mean", hidden_size=4)
    process.infos[digest] = replace(process.infos[digest], head=head, labels=())
    answer = await process.ask(TEXTS, process.role())
    assert [row.tolist() for row in answer.rows] == [YES, YES]
    assert bundles(process) == [["1", "1"]]
    assert process.releases.observed(shadow.name).trial.compared.missed == 2


@pytest.mark.parametrize("max_tokens", [64, 1])
async def test_fields_are_compared_each_as_its_own_training_scaled_them(
    process: Process, shadow: Release, until: Any, max_tokens: int
) -> None:
    own, other = process.version("x", 1).bundle_digest, shadow.candidate.bundle_digest
    scaled = [NumberField(name="amount", mean=mean, deviation=2.0) for mean in (10.0, 12.0)]
    process.infos[own] = replace(process.infos[own], fields=(scaled[0],))
    process.infos[other] = replace(process.infos[other], fields=(scaled[1],), max_tokens=max_tokens)
    await process.ask(TEXTS, process.role(), numbers=[10.0, 14.0])
    await until(lambda: process.releases.observed(shadow.name).trial.compared.rows == 2)
    rows = [row for call in process.hosts.features for row in call]
    assert rows == [[0.0, 0.0], [2.0, 0.0], [-1.0, 0.0], [1.0, 0.0]]
    assert len(process.hosts.features) == (1 if max_tokens == 64 else 2)


@pytest.mark.parametrize("other", [[], [FlagField(name="amount")], [NumberField(name="sum", mean=0, deviation=1)]])
async def test_other_fields_are_not_compared(process: Process, shadow: Release, other: list[Any]) -> None:
    own, digest = process.version("x", 1).bundle_digest, shadow.candidate.bundle_digest
    amount = NumberField(name="amount", mean=0.0, deviation=1.0)
    process.infos[own] = replace(process.infos[own], fields=(amount,))
    process.infos[digest] = replace(process.infos[digest], fields=tuple(other))
    await process.ask(TEXTS, process.role())
    assert process.releases.observed(shadow.name).trial.compared.missed == 2


async def test_a_manifest_that_is_gone_changes_nothing(process: Process, shadow: Release) -> None:
    del process.infos[shadow.candidate.bundle_digest]
    process.shadows._bundles._read = _gone
    answer = await process.ask(TEXTS, process.role())
    assert isinstance(answer, HostAnswer)
    assert bundles(process) == [["1", "1"]]


def _gone(digest: str) -> Any:
    raise IntegrityError("its manifest is damaged")


async def test_a_candidate_has_no_shadow(process: Process, release: Any) -> None:
    tried = release(weight=100, shadow=True)
    process.begin(tried)
    await process.ask(TEXTS, process.role())
    assert bundles(process) == [["2", "2"]]


async def test_shadows_are_judged_by_the_rules(process: Process, release: Any, until: Any) -> None:
    tried = release(weight=0, shadow=True, max_label_shift=0.5, min_samples=10)
    process.begin(tried)
    for _ in range(5):
        role = process.role()
        assert role == Role(tried, is_candidate=False)
        await process.ask(TEXTS, role)
    assert process.role() is None
    await until(lambda: [name for name, _ in process.registry.ended] == [tried.name])
