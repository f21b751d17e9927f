"""Has versions judged: a place, a process that does it, and what that has said."""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from symbiont.common.artifacts import ArtifactStore, hand_over
from symbiont.common.errors import FailedPrecondition, InvalidArgument, Unavailable
from symbiont.common.threads import QUIET
from symbiont.training.fork_server import ForkServer
from symbiont.training.judging.work import Judged, Order
from symbiont.training.process import start
from symbiont.training.promotion.types import JudgementStage


class Judging:
    """One judgement at a time: each holds a base in memory."""

    def __init__(self, folder: Path, threads: int = 0, fork_server: ForkServer | None = None) -> None:
        """Orders and logs of processes go to `folder`; `threads` of 0 are as many as there are cores."""
        self._folder = folder.absolute()
        self._threads = threads
        self._fork_server = fork_server
        self._busy = asyncio.Lock()

    async def judge(self, order: Order) -> AsyncGenerator[JudgementStage | Judged]:
        """Yields each stage as it begins, and at last what was found; closing it ends the process.

        Raises:
            InvalidArgument: a rule cannot be judged for this task, or the versions cannot be compared.
            FailedPrecondition: it cannot be done; the message says why.
            Unavailable: the tokenization service is away.
        """
        if self._busy.locked():
            yield JudgementStage.WAITING
        async with self._busy:
            self._folder.mkdir(parents=True, exist_ok=True)
            name = uuid.uuid4().hex[:12]
            file, log = self._folder / f"{name}.json", self._folder / f"{name}.log"
            artifacts = ArtifactStore(order.artifact_root)
            file.write_text(hand_over(artifacts, order.model_dump_json(), order.tenant))
            died = False
            try:
                async with aclosing(self._process(file, log)) as process:
                    async for said in process:
                        yield _read(said)
            except FailedPrecondition as exc:
                died = exc.reason == "DIED"
                raise
            finally:
                file.unlink()
                if not died:
                    log.unlink(missing_ok=True)

    async def _process(self, file: Path, log: Path) -> AsyncGenerator[dict[str, Any]]:
        environment = {
            **QUIET,
            **os.environ,
            "OMP_NUM_THREADS": str(self._threads or os.cpu_count() or 1),
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
        }
        process = await start(self._fork_server, "judging", ["--order", str(file)], environment, log)
        try:
            result = False
            async for said in process.said():
                result = "stage" not in said
                yield said
            status = await process.status()
            if status == -signal.SIGKILL:
                raise FailedPrecondition("the judgement was killed, likely for its memory", reason="DIED")
            if not result:
                raise FailedPrecondition(f"the judgement ended without a result ({status}); log: {log}", reason="DIED")
        finally:
            await process.end()


def _read(said: dict[str, Any]) -> JudgementStage | Judged:
    """Returns the stage or the result that was said; raises the error."""
    if "error" in said:
        match said["reason"]:
            case "AWAY":
                raise Unavailable(said["error"])
            case "INVALID_ARGUMENT":
                raise InvalidArgument(said["field"], said["error"])
        raise FailedPrecondition(said["error"], reason=said["reason"], field=said["field"] or None)
    return JudgementStage(said["stage"]) if "stage" in said else Judged.model_validate(said["judged"])
