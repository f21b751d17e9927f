"""What events and jobs say to a tracker: numbers, parameters, words. Nothing of a customer's texts or labels."""

import re
from typing import Any

from symbiont.training.spec import HEADS
from symbiont.training.types import (
    CheckpointSaved,
    Evaluation,
    Event,
    EventBody,
    Job,
    JobState,
    Metrics,
    Progress,
    StateChange,
    Warning,
)

Parameter = str | int | float | bool
# What a message quotes may be a label: 'so', and not the apostrophe of a customer's.
_QUOTED = re.compile(r"""(?<!\w)('(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")(?!\w)""")
_EVALUATION = "evaluation_"


class Steps:
    """How far a training is, event by event: what has no step of its own gets the one that it came after."""

    def __init__(self, step: int = 0, checkpoint: int = 0) -> None:
        self._step = step
        self._checkpoint = checkpoint

    def after(self, event: Event) -> int:
        """Returns the step that the training has reached with an event."""
        match event.body:
            case Progress(step) | Metrics(step):
                self._step = step
            case CheckpointSaved(step):
                self._step = self._checkpoint = step
            case StateChange(new_state=JobState.STARTING):
                # Where the new attempt begins, whatever the one before had reached.
                self._step = self._checkpoint
        return self._step


def numbers_of(body: EventBody) -> dict[str, float]:
    """Returns the numbers of an event by their names in every tracker."""
    match body:
        case Progress():
            names = "loss", "learning_rate", "gradient_norm", "tokens_per_second"
            return {f"train/{name}": getattr(body, name) for name in names}
        case Metrics(values=values):
            return {_name(name): value for name, value in values}
        case Evaluation():
            return {f"evaluation/{name}": getattr(body, name) for name in ("loss", "accuracy", "macro_f1")}
    return {}


def _name(metric: str) -> str:
    if metric.startswith(_EVALUATION):
        return f"evaluation/{metric.removeprefix(_EVALUATION)}"
    return f"system/{metric}"


def words_of(body: EventBody) -> tuple[str, str] | None:
    """Returns what an event tells a person: (`state` or `warning`, text); None for one that tells nothing."""
    match body:
        case StateChange(new_state=state, reason=reason):
            return "state", f"{state}: {without_quotes(reason)}"
        case Warning(code, text):
            return "warning", f"{code}: {without_quotes(text)}"
    return None


def without_quotes(text: str) -> str:
    """Strikes out what a message quotes."""
    return _QUOTED.sub("'…'", text)


def parameters_of(job: Job) -> dict[str, Parameter]:
    """Returns what a job was asked and works on, flat: `hyperparameters.epochs`, `terms.tenant`."""
    spec = job.spec.model_dump(mode="json", exclude_none=True)
    for head in HEADS:
        _strike_labels(spec.get(head, {}))
    terms, inputs = job.terms, vars(job.inputs)
    values = {
        **spec,
        "terms": {"tenant": terms.tenant, "priority": terms.priority, "budget": vars(terms.budget)},
        "inputs": {name: value for name, value in inputs.items() if value},
    }
    return dict(_flat("", values))


def _strike_labels(head: dict[str, Any]) -> None:
    """Leaves of what names labels how much there is."""
    if labels := head.pop("labels", None):
        head["label_count"] = len(labels)
    if matrix := head.pop("cost_matrix", None):
        head["cost_matrix"] = {"cost_count": len(matrix["costs"])}
    head.get("binary_costs", {}).pop("positive_label", None)


def _flat(prefix: str, values: dict[str, Any]) -> "list[tuple[str, Parameter]]":
    found: list[tuple[str, Parameter]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            # A method without settings is one all the same.
            found += _flat(f"{prefix}{name}.", value) if value else [(f"{prefix}{name}", True)]
        elif value is not None:
            found.append((f"{prefix}{name}", ", ".join(map(str, value)) if isinstance(value, list) else value))
    return found
