"""Races tuning methods as a ladder, the cheapest first, and advises one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from symbiont.advisor.advice import Advice, Rung
from symbiont.advisor.bench import Bench, Listener, Purse, Run
from symbiont.advisor.curve import Curve
from symbiont.advisor.rules import Fate, behind, contenders, enough
from symbiont.advisor.trials import Trial, check_study, raced, rung, steps_of, trial_of, word
from symbiont.api.training.v1.training_job_pb2 import TrainingSpec
from symbiont.client import Client, RequestError, job_budget

# A forecast takes about half a minute for each rung: little where a rung took as long as this.
FORECASTS_FROM_S = 300.0


@dataclass(frozen=True)
class RaceSettings:
    """How a race is run.

    Attributes:
        study: name of the study; the same name and the same specs go on with the same jobs.
        methods: what to race, in the usual order of cost.
        tolerance: how many points less a cheaper method may reach and still be advised.
        seeds: how often methods are trained between which the first seed does not decide.
        exhaustive: climb to the last rung, and cut none.
        purse: what the whole study may use.
    """

    study: str
    methods: Sequence[str]
    tolerance: float = 0.5
    seeds: int = 1
    exhaustive: bool = False
    purse: Purse = Purse()  # noqa: RUF009, it is frozen
    tenant: str = ""
    priority: int = 0


def advise(client: Client, spec: TrainingSpec, settings: RaceSettings, listener: Listener) -> Advice:
    """Races the methods on what a spec describes.

    Goes on where an earlier call with the same study and spec was broken off: it finds its jobs, and makes none twice.

    Args:
        spec: what is common to all rungs; the settings of its own method are kept for the rung of that method.

    Raises:
        ValueError: the settings are wrong.
        RequestError: the service refuses a rung, before any is trained.
    """
    return _Race(client, spec, settings, listener).run()


class _Race:
    def __init__(self, client: Client, spec: TrainingSpec, settings: RaceSettings, listener: Listener) -> None:
        _check(settings)
        self._settings, self._client, self._listener = settings, client, listener
        dataset = client.get_dataset(spec.dataset)
        self._spec = raced(spec, dataset)
        self._steps = steps_of(self._spec, dataset.row_count)
        self._seed = spec.hyperparameters.seed
        asked = [rung(self._spec, method) for method in settings.methods]
        budget = job_budget(settings.purse.seconds, settings.purse.cost)
        resolved = [client.check_training_job(one, budget=budget).spec for one in asked]
        metric = _primary(client, self._spec, resolved[0])
        self._bench = Bench(
            client,
            settings.study,
            spec.model,
            metric,
            listener,
            settings.purse,
            settings.tenant,
            settings.priority,
        )
        self._rungs: dict[str, Rung] = {}
        self._forecasts: dict[str, float] = {}

    def run(self) -> Advice:
        self._climb()
        self._settle()
        return Advice(
            self._settings.study,
            self._spec.model,
            self._bench.metric,
            self._settings.tolerance,
            tuple(self._rungs.values()),
        )

    def _climb(self) -> None:
        pending = list(self._settings.methods)
        while pending:
            if reason := self._why_not(pending):
                for method in self._in_order(pending, forecast=False):
                    self._rungs[method] = Rung(method, Fate.SKIPPED, why=reason)
                self._listener.say(f"{', '.join(map(word, pending))} not tried: {reason}")
                return
            method = self._in_order(pending)[0]
            pending.remove(method)
            self._rungs[method] = _rung_of(method, self._bench.run(self._trial(method), self._cut))
            self._listener.say(self._rungs[method].sentence(self._bench.metric))

    def _why_not(self, pending: Sequence[str]) -> str:
        """Says why no further rung is tried; nothing when one is."""
        # What was begun by an earlier call costs nothing more, and is only looked at.
        if any(self._bench.found(self._trial(method)) for method in pending):
            return ""
        if self._bench.left().empty:
            return "the budget of the study is used up"
        climbed = [one.standing for one in self._rungs.values()]
        if not self._settings.exhaustive and enough(climbed, self._settings.tolerance):
            return f"two dearer methods in a row brought less than {self._settings.tolerance:g} points"
        return ""

    def _in_order(self, pending: Sequence[str], *, forecast: bool = True) -> list[str]:
        """Returns methods in the order of their cost; those that were begun before come first, in the order they had.

        The cost is what a plan foretells, where plans are cheap beside what a rung has taken; else the usual order.
        """
        begun = [method for method in pending if self._bench.found(self._trial(method))]
        if begun:
            begun.sort(key=lambda method: self._bench.place(self._trial(method)))
            return [*begun, *(method for method in pending if method not in begun)]
        if forecast and any(one.seconds > FORECASTS_FROM_S for one in self._rungs.values()):
            for method in pending:
                if method not in self._forecasts:
                    self._forecasts[method] = self._forecast(method)
        # Methods without a forecast keep their places: sorting is stable, and full stays last.
        return sorted(pending, key=lambda method: (method == "full", self._forecasts.get(method, 0.0)))

    def _forecast(self, method: str) -> float:
        try:
            plan = self._client.plan_training_job(self._trial(method).spec)
        except RequestError as exc:
            self._listener.say(f"{word(method)}: no forecast ({exc.message})")
            return 0.0
        seconds = plan.training_time_seconds.value
        self._listener.say(f"{word(method)}: {seconds:.0f} s of training foretold")
        return seconds

    def _cut(self, curve: Curve) -> str:
        if self._settings.exhaustive:
            return ""
        leaders = {word(name): one.runs[0].curve for name, one in self._rungs.items() if one.fate is Fate.TRAINED}
        rows = max((one.row_count for one in self._rungs.values()), default=0)
        steps = curve.total_steps or self._steps
        checkpoints = math.ceil(steps / self._spec.hyperparameters.checkpoint_interval)
        return behind(curve, leaders, checkpoints, self._settings.tolerance, rows)

    def _settle(self) -> None:
        """Trains the methods between which the first seed does not decide with the other seeds, too."""
        near = contenders([one.standing for one in self._rungs.values()], self._settings.tolerance)
        if self._settings.seeds < 2 or len(near) < 2:
            return
        self._listener.say(f"{', '.join(word(one.name) for one in near)} are close: each is trained with more seeds")
        for number in range(1, self._settings.seeds):
            for standing in near:
                trial = self._trial(standing.name, self._seed + number)
                if self._bench.left().empty and not self._bench.found(trial):
                    self._listener.say("the budget of the study is used up: no more seeds")
                    return
                run = self._bench.run(trial)
                self._rungs[standing.name] = self._rungs[standing.name].with_run(run)

    def _trial(self, method: str, seed: int | None = None) -> Trial:
        name = word(method) if seed is None else f"{word(method)}-seed-{seed}"
        return trial_of(self._settings.study, name, rung(self._spec, method, seed))


def _check(settings: RaceSettings) -> None:
    check_study(settings.study)
    if not 0 <= settings.tolerance <= 100:
        raise ValueError(f"--tolerance {settings.tolerance:g}: say 0 to 100 points")
    if not 1 <= settings.seeds <= 20:
        raise ValueError(f"--seeds {settings.seeds}: say 1 to 20")
    if len(settings.methods) < 2:
        raise ValueError("one method is no race: name at least two")


def _primary(client: Client, spec: TrainingSpec, resolved: TrainingSpec) -> str:
    """Returns the measure that says most of the spec's task."""
    if spec.hyperparameters.selection_metric == "primary":
        return resolved.hyperparameters.selection_metric
    asked = TrainingSpec()
    asked.CopyFrom(spec)
    asked.hyperparameters.selection_metric = "primary"
    return client.check_training_job(asked).spec.hyperparameters.selection_metric


def _rung_of(method: str, run: Run) -> Rung:
    if run.value is not None:
        return Rung(method, Fate.TRAINED, (run,))
    if run.cut:
        return Rung(method, Fate.CUT, (run,), run.cut)
    return Rung(method, Fate.FAILED, (run,), run.job.failure.message or "it was cancelled")
