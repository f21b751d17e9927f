"""What a solution says of one row: its answer, how sure that is, why, and whether a person should see to it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from symbiont.client import AnswerSpan, Client, Explanation, Input, Prediction, QuestionContext, Text
from symbiont.common.sentences import sentences
from symbiont.solutions.asking import sure_of
from symbiont.solutions.cataloguing import key_of
from symbiont.solutions.recipe import EXPLAINED, Recipe

REASONS = 3


@dataclass(frozen=True)
class Reason:
    """A word, a sentence or a business field, and how far the answer's probability falls without it.

    `weight` is None where a part was not weighed, as the sentence that an answer stands in.
    """

    text: str
    weight: float | None = None


@dataclass(frozen=True)
class Said:
    """What a solution says.

    Attributes:
        answer: a label, labels, a number, parts of a text, or the id of a catalogue's entry; empty where there is none.
        sure: best probability, or cosine; None where the task has none.
        to_person: whether the recipe leaves it to a person.
        reasons: what spoke most for the answer, most first.
    """

    answer: str
    sure: float | None
    to_person: bool
    reasons: tuple[Reason, ...] = ()


def say(client: Client, recipe: Recipe, asked: Sequence[Input]) -> list[Said]:
    """Answers rows as a recipe says, by the version that its alias serves, with reasons.

    Raises:
        RequestError: a service refuses, as where the solution was not run.
    """
    model = f"{recipe.model}@{recipe.serving.alias}"
    if source := recipe.serving.catalogue:
        texts = [one.text if isinstance(one, Text) else "" for one in asked]
        rankings = client.search_catalogue(source.id, texts, top_k=1).rankings
        found = [(line.matches[0].id, line.matches[0].score) if line.matches else ("", -1.0) for line in rankings]
        return [_said(recipe, key_of(entry), score) for entry, score in found]
    predictions = client.predict(model, list(asked)).predictions
    if recipe.task.head not in EXPLAINED:
        return [_of_task(recipe, one, prediction) for one, prediction in zip(asked, predictions, strict=True)]
    return [
        _said(recipe, prediction.label, sure_of(prediction), tuple(_reasons(_why(client, recipe, model, one))))
        for one, prediction in zip(asked, predictions, strict=True)
    ]


def _why(client: Client, recipe: Recipe, model: str, given: Input) -> Explanation:
    (found,) = client.explain(model, [given], granularity=recipe.serving.reasons).explanations
    return found


def _reasons(found: Explanation) -> Iterator[Reason]:
    parts = [(one.text, one.attribution) for one in found.words] + [(one.name, one.attribution) for one in found.fields]
    for text, weight in sorted(parts, key=lambda part: -part[1])[:REASONS]:
        if weight > 0:
            yield Reason(text, weight)


def _of_task(recipe: Recipe, given: Input, prediction: Prediction) -> Said:
    match recipe.task.head:
        case "entities":
            return _said(recipe, ", ".join(f"{one.text} ({one.type})" for one in prediction.entities), None)
        case "multi-label":
            return _said(recipe, ", ".join(one.label for one in prediction.labels), None)
        case "score":
            return _said(recipe, f"{prediction.score:g}", None)
        case "spans":
            context = given.context if isinstance(given, QuestionContext) else ""
            text = prediction.spans[0].text if prediction.spans else ""
            return _said(recipe, text, sure_of(prediction), tuple(_evidence(context, prediction.spans[:1])))
        case _:
            return _said(recipe, f"{prediction.similarity:.3f}", None)


def _evidence(context: str, spans: Sequence[AnswerSpan]) -> Iterator[Reason]:
    """Yields the sentence that each answer stands in."""
    for span in spans:
        yield from (Reason(context[a:b]) for a, b in sentences(context) if a <= span.start < b)


def _said(recipe: Recipe, answer: str, sure: float | None, reasons: tuple[Reason, ...] = ()) -> Said:
    reject, hand_over = recipe.serving.reject, recipe.serving.hand_over
    if reject and sure is not None and sure < reject.below:
        answer = reject.label
    unsure = hand_over is not None and sure is not None and sure < hand_over.below
    return Said(answer, sure, bool(unsure or (reject and answer == reject.label)), reasons)
