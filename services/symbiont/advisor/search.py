"""Searches hyperparameters with Optuna: each trial is a job, judged at its checkpoints, cut off when it falls behind.

Optuna's journal keeps what was asked and found; the service keeps the jobs. A search that is begun again goes on with
both: a trial that was open finds its job by its request id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from symbiont.advisor.bench import Bench, Listener, Purse, Run
from symbiont.advisor.curve import Curve
from symbiont.advisor.space import METHOD, Choices, Dimension, Value, applied, corners, methods_in, takes
from symbiont.advisor.trials import CHECKPOINTS, Trial, check_study, raced, trial_of
from symbiont.api.training.v1.dataset_pb2 import Dataset
from symbiont.api.training.v1.training_job_pb2 import JOB_STATE_CANCELLED, TrainingSpec
from symbiont.client import Client, InvalidArgumentError, job_budget
from symbiont.common.errors import FailedPrecondition

if TYPE_CHECKING:
    import optuna

Pruner = Literal["median", "hyperband", "none"]
# Trials drawn at random before the sampler learns from them.
_STARTUP_TRIALS = 5
# Of the median: trials, and checkpoints of each, that none is held against.
_MEDIAN_TRIALS, _MEDIAN_CHECKPOINTS = 3, 2


@dataclass(frozen=True)
class SearchSettings:
    """How a search is run.

    Attributes:
        study: its name; the same name goes on with the same trials.
        journal: Optuna's file.
        trials: how many in all, those of earlier runs included.
        parallel: trials at a time; how many of their jobs train at once is the service's to say.
        seed: of the sampler; the trainings have that of their spec.
    """

    study: str
    journal: Path
    trials: int = 20
    parallel: int = 1
    seed: int = 0
    pruner: Pruner = "median"
    purse: Purse = Purse()  # noqa: RUF009, it is frozen
    tenant: str = ""
    priority: int = 0


@dataclass(frozen=True)
class Found:
    """A trial that is over: `complete`, `pruned` or `fail`."""

    number: int
    state: str
    value: float | None
    values: Mapping[str, Value]
    spec: TrainingSpec
    seconds: float
    job: str
    version: str


@dataclass(frozen=True)
class Findings:
    """What a search has found: its trials in order, and the runs that were followed this time, for their curves."""

    metric: str
    trials: Sequence[Found]
    runs: Sequence[Run]

    @property
    def best(self) -> Found | None:
        """The complete trial with the best value, the first of several."""
        complete = [one for one in self.trials if one.state == "complete"]
        return max(complete, key=lambda one: one.value or 0.0, default=None)


def said(values: Mapping[str, Value]) -> str:
    """Returns settings in a line: `learning_rate 0.0004, rank 8`."""
    numbers = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in values.items()}
    return ", ".join(f"{name} {value}" for name, value in numbers.items())


def require_optuna() -> None:
    """Raises FailedPrecondition when Optuna is not installed."""
    try:
        import optuna
    except ImportError as exc:
        raise FailedPrecondition("a search needs Optuna: pip install 'symbiont[search]'") from exc
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def search(
    client: Client, spec: TrainingSpec, space: Sequence[Dimension], settings: SearchSettings, listener: Listener
) -> Findings:
    """Searches a space around a spec until so many trials are over, or the purse is empty.

    Raises:
        ValueError: the settings are wrong, or the study was begun with others, by another tenant or elsewhere.
        FailedPrecondition: Optuna is not installed.
        RequestError: the service refuses an end of the space, before any trial is made.
    """
    require_optuna()
    return _Search(client, spec, space, settings, listener).run()


class _Search:
    def __init__(
        self,
        client: Client,
        spec: TrainingSpec,
        space: Sequence[Dimension],
        settings: SearchSettings,
        listener: Listener,
    ) -> None:
        _check(settings)
        self._spec, self._space, self._settings, self._listener = spec, space, settings, listener
        self._dataset: Dataset = client.get_dataset(spec.dataset)
        metric = _check_corners(client, spec, space, self._dataset, settings.purse)
        self._bench = Bench(
            client, settings.study, spec.model, metric, listener, settings.purse, settings.tenant, settings.priority
        )
        self._study = self._open()
        self._runs: list[Run] = []

    def run(self) -> Findings:
        pending: set[Future[None]] = set()
        pool = ThreadPoolExecutor(self._settings.parallel)
        try:
            waiting = self._left_open()
            while True:
                while len(pending) < self._settings.parallel and (trial := self._next(waiting)):
                    pending.add(pool.submit(self._try, trial))
                if not pending:
                    if len(self._study.get_trials(deepcopy=False)) < self._settings.trials:
                        self._listener.say("the budget of the study is used up")
                    return self._findings()
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for one in done:
                    one.result()
        finally:
            # Threads that still follow a job end with the client.
            pool.shutdown(wait=False, cancel_futures=True)

    def _next(self, waiting: list[optuna.Trial]) -> optuna.Trial | None:
        if waiting:
            return waiting.pop(0)
        number = len(self._study.get_trials(deepcopy=False))
        if number >= self._settings.trials:
            return None
        if self._bench.left().empty:
            # A trial that ends early may bring some of it back.
            return None
        # A sampler that began anew with the same seed would draw again what it drew first.
        self._study.sampler = _sampler(self._settings.seed + number)
        return self._study.ask()

    def _try(self, trial: optuna.Trial) -> None:
        """Follows a trial to its end, and tells the study."""
        values = self._sample(trial)
        if twin := self._twin(trial.number, values):
            for name, value in twin.user_attrs.items():
                trial.set_user_attr(name, value)
            self._study.tell(trial, twin.value)
            return
        made = trial_of(self._settings.study, f"trial-{trial.number}", self._spec_of(values))
        self._listener.say(f"{made.name}: {said(values)}")
        try:
            run = self._bench.run(made, self._judge(trial), share=self._settings.parallel)
        except InvalidArgumentError as exc:
            self._refuse(trial, made, exc)
        else:
            self._runs.append(run)
            self._tell(trial, made, run)

    def _refuse(self, trial: optuna.Trial, made: Trial, refusal: InvalidArgumentError) -> None:
        """Ends a trial whose settings do not go together, as the ends of the space did."""
        from optuna.trial import TrialState

        self._study.tell(trial, state=TrialState.FAIL)
        self._listener.say(f"{made.name} cannot be trained: {refusal.message}")

    def _tell(self, trial: optuna.Trial, made: Trial, run: Run) -> None:
        from optuna.trial import TrialState

        trial.set_user_attr("job", run.job.name)
        trial.set_user_attr("version", run.job.model_version)
        trial.set_user_attr("seconds", run.seconds)
        if run.value is not None:
            self._study.tell(trial, run.value)
        elif run.job.state == JOB_STATE_CANCELLED:
            self._study.tell(trial, state=TrialState.PRUNED)
            self._listener.say(f"{made.name}: cut off, {run.cut or 'cancelled by a caller'}")
        else:
            self._study.tell(trial, state=TrialState.FAIL)
            self._listener.say(f"{made.name} failed: {run.job.failure.message}")

    def _judge(self, trial: optuna.Trial) -> Any:
        told = set(self._study.get_trials(deepcopy=False)[trial.number].intermediate_values)

        def stop(curve: Curve) -> str:
            checkpoint = len(curve.points)
            if checkpoint not in told:
                told.add(checkpoint)
                trial.report(curve.points[-1].value, checkpoint)
            return f"behind the others after {checkpoint} checkpoints" if trial.should_prune() else ""

        return stop

    def _sample(self, trial: optuna.Trial) -> dict[str, Value]:
        methods = [one for one in self._space if one.name == METHOD]
        values = {one.name: _suggest(trial, one) for one in methods}
        method = str(values.get(METHOD, methods_in(self._spec, ())[0])).replace("-", "_")
        rest = [one for one in self._space if one.name != METHOD and takes(self._spec, method, one.name)]
        return values | {one.name: _suggest(trial, one) for one in rest}

    def _spec_of(self, values: Mapping[str, Value]) -> TrainingSpec:
        return raced(applied(self._spec, values), self._dataset)

    def _twin(self, number: int, values: Mapping[str, Value]) -> optuna.trial.FrozenTrial | None:
        """Returns a complete trial of the same settings: the same training would come to the same end."""
        from optuna.trial import TrialState

        complete = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return next((one for one in complete if one.number != number and one.params == values), None)

    def _left_open(self) -> list[optuna.Trial]:
        """Returns the trials that an earlier run had begun and did not end."""
        import optuna
        from optuna.trial import TrialState

        found = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [optuna.Trial(self._study, one._trial_id) for one in found]

    def _open(self) -> optuna.Study:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        self._settings.journal.parent.mkdir(parents=True, exist_ok=True)
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(self._settings.journal))),
            study_name=self._settings.study,
            direction="maximize",
            pruner=_pruner(self._settings.pruner),
            load_if_exists=True,
        )
        about = _digest(self._spec, self._space)
        if study.user_attrs.get("about", about) != about:
            raise ValueError(
                f"the study {self._settings.study} was begun with another spec or space: name a new one with --study"
            )
        study.set_user_attr("about", about)
        jobs = [job for one in study.get_trials(deepcopy=False) if (job := one.user_attrs.get("job"))]
        if strange := [job for job in jobs if not self._bench.has(job)]:
            raise ValueError(
                f"the study {self._settings.study} in {self._settings.journal} is that of another tenant or service: "
                f"{strange[0]} is not here; name a new one with --study"
            )
        return study

    def _findings(self) -> Findings:
        found = [one for one in self._study.get_trials(deepcopy=False) if one.state.is_finished()]
        return Findings(self._bench.metric, [self._found(one) for one in found], self._runs)

    def _found(self, trial: optuna.trial.FrozenTrial) -> Found:
        told = trial.user_attrs
        return Found(
            trial.number,
            trial.state.name.lower(),
            trial.value if trial.state.name == "COMPLETE" else max(trial.intermediate_values.values(), default=None),
            trial.params,
            self._spec_of(trial.params),
            told.get("seconds", 0.0),
            told.get("job", ""),
            told.get("version", ""),
        )


def _check(settings: SearchSettings) -> None:
    check_study(settings.study)
    for name, value, most in (("trials", settings.trials, 10_000), ("parallel", settings.parallel, 64)):
        if not 1 <= value <= most:
            raise ValueError(f"--{name} {value}: say 1 to {most}")
    if settings.seed < 0:
        raise ValueError(f"--sampler-seed {settings.seed}: say 0 or more")


def _check_corners(
    client: Client, spec: TrainingSpec, space: Sequence[Dimension], dataset: Dataset, purse: Purse
) -> str:
    """Has the service check every end of the space; returns the measure that says most of the task."""
    metric, budget = "", job_budget(purse.seconds, purse.cost)
    for corner in corners(spec, space):
        asked = raced(corner, dataset)
        client.check_training_job(asked, budget=budget)
        asked.hyperparameters.selection_metric = "primary"
        metric = client.check_training_job(asked).spec.hyperparameters.selection_metric
    return metric


def _suggest(trial: optuna.Trial, one: Dimension) -> Value:
    if isinstance(one, Choices):
        return cast(Value, trial.suggest_categorical(one.name, one.values))
    if one.whole:
        return trial.suggest_int(one.name, int(one.low), int(one.high), step=int(one.step or 1), log=one.log)
    return trial.suggest_float(one.name, one.low, one.high, step=one.step, log=one.log)


def _sampler(seed: int) -> optuna.samplers.BaseSampler:
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed, n_startup_trials=_STARTUP_TRIALS)


def _pruner(name: Pruner) -> optuna.pruners.BasePruner:
    from optuna import pruners

    match name:
        case "median":
            return pruners.MedianPruner(_MEDIAN_TRIALS, _MEDIAN_CHECKPOINTS)
        case "hyperband":
            return pruners.HyperbandPruner(min_resource=1, max_resource=CHECKPOINTS, reduction_factor=3)
        case "none":
            return pruners.NopPruner()


def _digest(spec: TrainingSpec, space: Sequence[Dimension]) -> str:
    text = spec.SerializeToString(deterministic=True) + repr(list(space)).encode()
    return hashlib.sha256(text).hexdigest()
