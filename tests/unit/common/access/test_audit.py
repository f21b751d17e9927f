"""What is written of calls, and what is not."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from symbiont.common.access.audit import MINUTE, MOST_NAMELESS, UNHEARD, AuditLog, audited
from symbiont.common.access.chain import chains, lines_of, problems_of
from symbiont.common.principal import Principal, Role, make_current

DELETE = "/symbiont.training.v1.DatasetService/DeleteDataset"
GET = "/symbiont.training.v1.DatasetService/GetDataset"
PREDICT = "/symbiont.inference.v1.InferenceService/Predict"


@pytest.fixture
def calls(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Runs a block with a log, as ana of the bank; then returns its lines."""

    @contextmanager
    def heard(*, reads: bool = False) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
        lines: list[dict[str, Any]] = []
        with audited(tmp_path, "training", reads=reads) as log:
            make_current(Principal("ana", "bank", frozenset({Role.TRAINER})))
            yield log, lines
        (folder,) = chains(tmp_path)
        assert list(problems_of(folder)) == []
        lines += lines_of(folder)

    yield heard
    make_current(Principal())


def test_a_change_is_written_with_who_what_and_how_it_ended(calls: Callable[..., Any]) -> None:
    with calls() as (log, lines):
        assert log.hears(DELETE)
        log.ended(DELETE, ["datasets/bank~rows"], "OK")
        log.ended(DELETE, ["datasets/bank~rows"], "NOT_FOUND")
    said = [{k: line[k] for k in ("principal", "tenant", "method", "resources", "outcome")} for line in lines]
    expected = {"principal": "ana", "tenant": "bank", "method": DELETE, "resources": ["datasets/bank~rows"]}
    assert said == [{**expected, "outcome": "OK"}, {**expected, "outcome": "NOT_FOUND"}]


def test_predictions_are_counted_and_those_refused_are_written(calls: Callable[..., Any]) -> None:
    with calls() as (log, lines):
        assert not log.hears(PREDICT)
        for _ in range(1000):
            log.ended(PREDICT, [], "OK")
        log.ended(PREDICT, [], "PERMISSION_DENIED")
    assert [(line["outcome"], line.get("count")) for line in lines] == [("PERMISSION_DENIED", None), ("OK", 1000)]


@pytest.mark.parametrize("reads", [True, False])
def test_reads_are_written_where_that_is_asked_for(calls: Callable[..., Any], reads: bool) -> None:
    with calls(reads=reads) as (log, lines):
        log.ended(GET, ["datasets/bank~rows"], "OK")
    assert [line.get("count", "written") for line in lines] == (["written"] if reads else [1])


def test_what_a_caller_sends_for_a_name_is_kept_short(calls: Callable[..., Any]) -> None:
    with calls() as (log, lines):
        log.ended(DELETE, ["x" * 10_000] * 50, "INVALID_ARGUMENT")
    assert len(str(lines[0])) < 4000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_flood_of_callers_who_prove_nothing_is_counted(calls: Callable[..., Any], clock: list[float]) -> None:
    with calls() as (log, lines):
        make_current(Principal())
        for _ in range(2):
            for _ in range(5 * MOST_NAMELESS):
                log.ended(DELETE, ["datasets/rows"], "UNAUTHENTICATED")
                log.ended(PREDICT, [], "PERMISSION_DENIED")
            clock[0] += MINUTE
        make_current(Principal("ana", "bank"))
        # Who is known does not drown in it.
        log.ended(PREDICT, [], "PERMISSION_DENIED")
    written = [line for line in lines if "count" not in line]
    counted = sum(line["count"] for line in lines if "count" in line)
    assert [line["principal"] for line in written] == [""] * 2 * MOST_NAMELESS + ["ana"]
    assert counted == 2 * (2 * 5 - 1) * MOST_NAMELESS
    assert {line["outcome"] for line in lines if "count" in line} == {"UNAUTHENTICATED", "PERMISSION_DENIED"}


def test_without_a_folder_nothing_is_written() -> None:
    with audited(None, "training", reads=True) as log:
        assert log is UNHEARD
        assert not log.hears(DELETE)


def test_the_log_is_one_of_calls() -> None:
    assert {name for name in dir(AuditLog) if not name.startswith("_")} == {"close", "ended", "hears"}
