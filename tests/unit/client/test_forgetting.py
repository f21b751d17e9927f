"""Both clients ask to forget a subject."""

from typing import Any


def test_a_subject_is_forgotten(client: Any, suite: Any) -> None:
    planned = client.forget_subject("ann", dry_run=True)
    assert [(list(d.names), len(d.rows), d.new_digest) for d in planned.datasets] == [(["datasets/rows"], 12, "")]
    assert suite.state.forgotten == []
    done = client.forget_subject("ann")
    assert done.datasets[0].new_digest == "2" * 64
    assert list(done.retraining_jobs) == []
    assert suite.state.forgotten == ["ann"]
    again = client.forget_subject("ann", retrain=True)
    assert list(again.datasets) == []
    assert list(again.retraining_jobs) == ["jobs/j9"]


def test_a_call_that_broke_off_is_made_again(client: Any, suite: Any) -> None:
    suite.state.unavailable["ForgetSubject"] = 1
    assert client.forget_subject("ann").datasets
    suite.state.unanswered = True
    suite.state.forgotten.clear()
    assert client.forget_subject("ann").datasets
    assert suite.state.calls["ForgetSubject"] == 4
