"""A recommendation from ratings to a served model, which embeds; items are ordered here, because all of them count."""

from collections.abc import Sequence
from pathlib import Path

from symbiont.client import Client
from symbiont.client.requests import DatasetColumns
from symbiont.solutions import figures
from symbiont.solutions.asking import Answers, ask
from symbiont.solutions.figures import Figures
from symbiont.solutions.learning import learn, spec_of
from symbiont.solutions.loading import Located
from symbiont.solutions.monitoring import write_rules
from symbiont.solutions.preparing import Say, ensure_base, upload
from symbiont.solutions.promoting import promote
from symbiont.solutions.recipe_evaluation import BaselineName
from symbiont.solutions.recipe_rows import Recommendation
from symbiont.solutions.recommending import ranking
from symbiont.solutions.recommending.pairs import Histories, held_pairs, read_histories, training_pairs
from symbiont.solutions.recommending.ranking import Scores
from symbiont.solutions.reporting import figures_of, write
from symbiont.solutions.rows import SolutionRow

COLUMNS = DatasetColumns(label_kind="none", pair_column="pair", group_column="group_")


def check(located: Located, data: Path, most: int | None) -> Histories:
    """Checks recipe and files; returns the histories.

    Raises:
        RecipeError: something is wrong; says where, and what to do.
    """
    spec_of(located, located.recipe.base.id, "train")
    return read_histories(located, data, most)


def sides_of(histories: Histories, rated: Recommendation) -> "tuple[list[SolutionRow], list[SolutionRow]]":
    """Returns pairs to learn from, and pairs to judge training by."""
    return training_pairs(histories, rated), held_pairs(histories, rated)


def run(client: Client, located: Located, data: Path, out: Path, most: int | None, say: Say) -> Figures:
    """Runs a recommendation; errors are those of `solutions.running.run`."""
    histories = check(located, data, most)
    recipe = located.recipe
    rated = recipe.recommendation
    assert rated is not None  # noqa: S101, `check` has looked
    ensure_base(client, recipe, say)
    out.mkdir(parents=True, exist_ok=True)
    datasets = upload(client, recipe, COLUMNS, sides_of(histories, rated), out / "rows", say)
    spec = spec_of(located, recipe.base.id, datasets.train.name)
    job = learn(client, recipe, spec, say)
    promote(client, recipe, job.model_version, datasets.test.name, say)
    write_rules(recipe, out)
    model = f"{recipe.model}@{recipe.serving.alias}"
    say(f"embedding {len(histories.items)} items and {len(histories.after)} histories with {model}")
    users, cosines = _served(client, model, histories, rated, job.model_version)
    outcome = ranking.outcome_of(histories, ranking.by_texts(histories, cosines, rated.popularity))
    found = [
        figures.beside(recipe, name, outcome, ranking.outcome_of(histories, _baseline(name, histories)))
        for name in recipe.evaluation.baselines
    ]
    made = figures_of(recipe, datasets, job, outcome, found, users, sample=most is not None)
    write(client, out, made)
    return made


def _served(
    client: Client, model: str, histories: Histories, rated: Recommendation, version: str
) -> "tuple[Answers, Scores]":
    queries: Sequence[str] = [histories.query(user, rated.history) for user in sorted(histories.after)]
    users = ask(client, model, queries, version)
    items = ask(client, model, [histories.texts[item] for item in histories.items], version)
    cosines = ranking.cosine([p.embedding for p in users.predictions], [p.embedding for p in items.predictions])
    return users, cosines


def _baseline(name: BaselineName, histories: Histories) -> Scores:
    return ranking.als(histories) if name == "als" else ranking.popularity(histories)
