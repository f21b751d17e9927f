"""The training of a recipe: its spec, and its job, or a race of methods."""

from typing import Any

from symbiont.advisor.race import RaceSettings, advise
from symbiont.advisor.trials import methods_of
from symbiont.api.training.v1.training_job_pb2 import TrainingJob, TrainingSpec
from symbiont.client import Client, training_spec
from symbiont.solutions.loading import Located, RecipeError
from symbiont.solutions.preparing import JobFailedError, Say, follow, submit
from symbiont.solutions.recipe import Recipe

_LOOP = (
    "rank",
    "target_modules",
    "size",
    "epochs",
    "batch_size",
    "learning_rate",
    "max_tokens",
    "seed",
    "patience",
    "checkpoint_interval",
    "holdout_fraction",
    "selection_metric",
    "keep_best",
    "bf16",
)
_TASK = ("label_smoothing", "minimum", "maximum", "max_answer_tokens", "temperature")


def options_of(recipe: Recipe) -> dict[str, Any]:
    """Returns the keyword arguments of `training_spec` that the recipe stands for; none is None."""
    method, task, more = recipe.method, recipe.task, recipe.development
    options: dict[str, Any] = {"head": task.head, "balanced": task.balanced or None}
    options |= {name: getattr(task, name) for name in _TASK}
    options |= {name: getattr(method, name) for name in _LOOP}
    options["method"] = None if method.advise else method.name
    options |= {"business_fields": more.fields, "fusion": more.fusion, "hidden_layers": more.hidden_layers or None}
    options |= {"windows": more.windows or None, "tune_thresholds": more.tune_thresholds or None}
    if more.costs:
        options["positive_label"] = more.costs.positive_label
        options["false_positive_cost"] = more.costs.false_positive
        options["false_negative_cost"] = more.costs.false_negative
    return {name: value for name, value in options.items() if value is not None}


def spec_of(located: Located, base: str, train: str) -> TrainingSpec:
    """Returns the spec of a recipe. It knows nothing of the rows to judge by, for by those nothing may be chosen.

    Raises:
        RecipeError: options contradict each other.
    """
    recipe = located.recipe
    try:
        return training_spec(base_model=base, dataset=train, model=recipe.model, **options_of(recipe))
    except ValueError as exc:
        place = "development" if "field" in str(exc) or "fusion" in str(exc) else "method"
        raise RecipeError([f"{located.at(place)}: {exc}"]) from exc


def learn(client: Client, recipe: Recipe, spec: TrainingSpec, say: Say) -> TrainingJob:
    """Trains a version; that of an earlier run where the same was trained. Returns the job that made it.

    Raises:
        JobFailedError: no version came out.
    """
    race = recipe.method.advise
    if race is None:
        return follow(client, submit(client, spec, recipe.model), say)
    settings = RaceSettings(f"{recipe.model}-advice", methods_of(race.rungs), race.tolerance)
    advice = advise(client, spec, settings, _Listener(say))
    for reason in advice.reasons():
        say(reason)
    if advice.advised is None:
        raise JobFailedError("no method of the race made a version")
    return advice.advised.best_run.job


class _Listener:
    def __init__(self, say: Say) -> None:
        self.say = say

    def begin(self, title: str, job: TrainingJob) -> None:
        self.say(f"{title}: {job.name}")

    def event(self, title: str, event: object) -> None:
        """Steps are not said: `symbiont jobs watch` shows them."""
