"""Plans a job for a caller: checks, a place, a process that tries the job out, and a note of what it foretold."""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import FailedPrecondition, InvalidArgument, SymbiontError, Unavailable
from symbiont.common.log import get_logger
from symbiont.common.threads import QUIET
from symbiont.training.checking import plan_key
from symbiont.training.fork_server import ForkServer
from symbiont.training.notifier import Notifier, first_of
from symbiont.training.planning import remarks
from symbiont.training.planning.types import TrainingPlan
from symbiont.training.process import start
from symbiont.training.resolving import resolve
from symbiont.training.spec import TrainingSpec
from symbiont.training.starting import find_start
from symbiont.training.store import Store
from symbiont.training.types import Inputs, Job, JobState, PlanStage

FIELD = "spec"
# Between two looks at the jobs that run, where nobody tells of their end.
LOOK_SECONDS = 1.0
_PLANS = TypeAdapter(TrainingPlan)


@dataclass(frozen=True)
class Terms:
    """On what terms jobs are tried out.

    `places` are those of jobs, `threads` a worker's (0: as many as there are cores), `price` is that of a rank and
    hour (0: none). A trial trains for at most `seconds`, and waits for a place for at most `patience` seconds.
    `elsewhere`: workers run on other machines than the service, where a trial runs.
    """

    places: int = 1
    threads: int = 0
    price: float = 0.0
    seconds: float = 20.0
    patience: float = 20.0
    elsewhere: bool = False


class Planning:
    """One plan at a time.

    What a plan costs a job that runs is bounded three ways: a plan waits a while for a place of its own, it computes no
    longer than a fixed time, and where it finds no place it runs at low priority, so that it takes what the jobs leave
    idle first.
    """

    def __init__(
        self,
        store: Store,
        artifacts: ArtifactStore,
        notifier: Notifier,
        make_spec: Callable[[Job], str],
        folder: Path,
        terms: Terms,
        fork_server: ForkServer | None = None,
    ) -> None:
        """`make_spec` renders what a worker is told; spec and log of the process go to `folder`.

        With a `fork_server` the process is a fork, as the job's would be.
        """
        self._store = store
        self._artifacts = artifacts
        self._notifier = notifier
        self._make_spec = make_spec
        self._folder = folder.absolute()
        self._terms = terms
        self._fork_server = fork_server
        self._busy = asyncio.Lock()

    async def plan(self, spec: TrainingSpec) -> AsyncGenerator[PlanStage | TrainingPlan]:
        """Yields each stage as it begins, and at last the plan; closing it ends the process, and leaves no plan.

        Raises:
            InvalidArgument, NotFound: what CreateTrainingJob would refuse; the field is under `spec`.
            Unavailable: the tokenization service is away.
            FailedPrecondition: the job cannot be tried out; the message says why.
        """
        if spec.derived_base:
            problem = "there are no plans of jobs that make a base: limit its training_time by a budget"
            raise InvalidArgument(f"{FIELD}.derived_base", problem)
        resolved, inputs = await asyncio.to_thread(self._resolved, spec)
        if self._busy.locked() or await self._company():
            yield PlanStage.WAITING
        async with self._busy:
            company = await self._wait_for_place()
            # Closed before anybody else may begin: a generator that is left ends when it is collected.
            async with aclosing(self._try(resolved, inputs, company)) as work:
                async for made in work:
                    yield await self._noted(made, resolved, inputs) if isinstance(made, TrainingPlan) else made

    def _resolved(self, spec: TrainingSpec) -> tuple[TrainingSpec, Inputs]:
        start = find_start(spec, self._store, self._artifacts, FIELD)
        return resolve(spec, self._store, start, under=FIELD, packages_here=not self._terms.elsewhere)

    async def _noted(self, plan: TrainingPlan, spec: TrainingSpec, inputs: Inputs) -> TrainingPlan:
        """Notes what a plan foretells, for the job that may follow; returns the plan with its cost."""
        seconds = plan.training_time_seconds
        await asyncio.to_thread(self._store.add_plan, plan_key(spec, inputs), seconds.value)
        get_logger().info("planned", seconds=seconds.value, low=seconds.low, high=seconds.high)
        price = self._terms.price * spec.ranks / 3600
        warnings = (*plan.warnings, *remarks.of_place(elsewhere=self._terms.elsewhere))
        return replace(plan, cost=seconds.times(price) if price else None, warnings=warnings)

    async def _company(self) -> int:
        """Returns how many jobs run here, when they leave no place; else 0."""
        if self._terms.elsewhere:
            return 0
        running = len(await asyncio.to_thread(self._store.active))
        return running if running >= self._terms.places else 0

    async def _wait_for_place(self) -> int:
        """Returns 0 once there is a place, or after a while how many jobs there are in all of them."""
        deadline = asyncio.get_running_loop().time() + self._terms.patience
        while True:
            news = self._notifier.subscribe(Notifier.QUEUE)
            try:
                company = await self._company()
                left = deadline - asyncio.get_running_loop().time()
                if not company or left <= 0:
                    return company
                await first_of(news, within=min(LOOK_SECONDS, left))
            finally:
                self._notifier.forget(Notifier.QUEUE, news)

    async def _try(self, spec: TrainingSpec, inputs: Inputs, company: int) -> AsyncGenerator[PlanStage | TrainingPlan]:
        """Yields what the process says; it is over when this is. Its log stays where it failed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        name = uuid.uuid4().hex[:12]
        file, log = self._folder / f"{name}.json", self._folder / f"{name}.log"
        parts = spec.hyperparameters.accumulation_steps
        file.write_text(self._make_spec(Job(name, spec, inputs, JobState.QUEUED, micro_batches=parts)))
        failed = False
        try:
            async with aclosing(self._process(file, log, spec.ranks, company)) as process:
                async for said in process:
                    yield _read(said)
        except SymbiontError:
            failed = True
            raise
        finally:
            file.unlink()
            if not failed:
                log.unlink(missing_ok=True)

    async def _process(self, file: Path, log: Path, ranks: int, company: int) -> AsyncGenerator[dict[str, Any]]:
        arguments = ["--spec", str(file), "--seconds", str(self._terms.seconds), "--company", str(company)]
        threads = max((self._terms.threads or os.cpu_count() or 1) // ranks, 1)
        environment = {
            **QUIET,
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_VERBOSITY": "error",
        }
        process = await start(self._fork_server, "planning", arguments, environment, log)
        try:
            planned = False
            async for said in process.said():
                planned = "plan" in said
                yield said
            status = await process.status()
            if status == -signal.SIGKILL:
                raise FailedPrecondition("the trial was killed, likely for its memory: lower batch_size or max_tokens")
            if not planned:
                raise FailedPrecondition(f"the trial ended without a result ({status}); its log: {log}")
        finally:
            await process.end()


def _read(said: dict[str, Any]) -> PlanStage | TrainingPlan:
    """Returns the stage or the plan that was said.

    Raises:
        Unavailable, FailedPrecondition: what was said is that there will be none.
    """
    if "away" in said:
        raise Unavailable(said["away"])
    if "error" in said:
        raise FailedPrecondition(f"the job cannot be tried out: {said['error']}")
    return PlanStage(said["stage"]) if "stage" in said else _PLANS.validate_python(said["plan"])
