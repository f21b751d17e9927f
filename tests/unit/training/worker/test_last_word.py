"""What the controller is told of the error that ended an attempt: its kind says whether it is tried again."""

import errno
import os
import threading

import pytest

from symbiont.common.errors import IntegrityError, InvalidArgument, Unavailable
from symbiont.training.types import Failure, FailureKind, LogLine, Stopped
from symbiont.training.worker import __main__ as worker
from symbiont.training.worker.__main__ import last_word
from symbiont.training.worker.clients import ControllerLink
from symbiont.training.worker.errors import Diverged, RankLost, StopRequested, Unusable


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Diverged("loss nan"), FailureKind.CONFIG),
        (Unusable("no module 'x' is installed here"), FailureKind.CONFIG),
        (InvalidArgument("rows", "odd"), FailureKind.DATA),
        (Unavailable("tokenization stays away"), FailureKind.INFRA),
        (IntegrityError("the base is damaged"), FailureKind.INFRA),
        (RankLost("rank 1"), FailureKind.INFRA),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), FailureKind.INFRA),
        (OSError(errno.EIO, os.strerror(errno.EIO)), FailureKind.INFRA),
        (FileNotFoundError(errno.ENOENT, "x"), FailureKind.CODE),
        (MemoryError(), FailureKind.OOM),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            FailureKind.OOM,
        ),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), FailureKind.OOM),
        (RuntimeError("shapes differ"), FailureKind.CODE),
    ],
    ids=lambda value: str(value)[:40],
)
def test_each_error_has_its_kind(error: Exception, kind: FailureKind) -> None:
    said = last_word(error)
    assert isinstance(said, Failure)
    assert said.kind is kind
    assert said.message


def test_one_that_was_asked_to_stop_has_not_failed() -> None:
    assert last_word(StopRequested()) == Stopped()


def test_a_worker_that_is_told_to_end_does_not_wait_for_a_controller_that_stays_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "STOP_SECONDS", 0.01)
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.01)
    # Nobody can listen there.
    link, terminated = ControllerLink("127.0.0.1:0", "job-x", 1), threading.Event()
    link.send(LogLine("done"))
    waiting = threading.Thread(target=worker.all_heard, args=(link, terminated))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    terminated.set()
    waiting.join(30)
    assert not waiting.is_alive()
    link.close()
