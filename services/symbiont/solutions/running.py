"""A solution from raw files to a served, monitored model and its report; each step finds what is done already."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from symbiont.client import Client
from symbiont.client.catalogues import Entry
from symbiont.evaluation import Outcome
from symbiont.solutions import baselines, figures
from symbiont.solutions.asking import Answers, ask, wait_for
from symbiont.solutions.cataloguing import entries_of, fill_catalogue, key_of, rows_of, search
from symbiont.solutions.checking import Sides, check_keys, read_sides
from symbiont.solutions.explaining import deletion_test
from symbiont.solutions.figures import Beside, Deletion, Figures
from symbiont.solutions.learning import learn, spec_of
from symbiont.solutions.loading import Located, RecipeError
from symbiont.solutions.monitoring import write_rules
from symbiont.solutions.outcomes import found_in_catalogue, outcome_of
from symbiont.solutions.preparing import Say, ensure_base, upload, with_terms
from symbiont.solutions.promoting import promote
from symbiont.solutions.recipe_evaluation import Gate
from symbiont.solutions.recipe_serving import CatalogueSource
from symbiont.solutions.recommending import running as recommendation
from symbiont.solutions.reporting import figures_of, write
from symbiont.solutions.rows import SolutionRow, columns_of_dataset

# The alias of versions that have learnt some of the rows.
QUICK_LOOK = "quick-look"


@dataclass(frozen=True)
class Run:
    """What is run.

    Attributes:
        data: folder of the raw files.
        out: folder of what a run writes.
        most: so many rows of each side (of ratings: users), for a quick look; None takes all.
    """

    located: Located
    data: Path
    out: Path
    most: int | None = None


def check(asked: Run) -> Sides:
    """Checks all of a recipe and its files that can be checked without a service; returns its rows.

    Raises:
        RecipeError: something is wrong; says where, and what to do.
    """
    located = asked.located
    recipe = located.recipe
    if problems := baselines.problems(recipe):
        raise RecipeError([f"{located.at('evaluation', 'baselines')}: {problem}" for problem in problems])
    if recipe.recommendation:
        histories = recommendation.check(located, asked.data, asked.most)
        return Sides(*map(tuple, recommendation.sides_of(histories, recipe.recommendation)))
    sides = read_sides(located, asked.data, asked.most)
    spec_of(located, recipe.base.id, "train")
    if recipe.serving.catalogue:
        check_keys(located, sides.test, {key_of(entry) for entry, _ in _entries(asked)})
    return sides


def run(client: Client, asked: Run, say: Say) -> Figures:
    """Runs a solution.

    Raises:
        RecipeError: the recipe or its files are wrong, before anything starts.
        JobFailedError: training made no version.
        NotPromotedError: the gate keeps the version from its alias.
        RequestError: a service refuses.
    """
    sides = check(asked)
    if asked.most is not None:
        asked = replace(asked, located=quick_look(asked.located))
    located, out = asked.located, asked.out
    recipe = located.recipe
    if recipe.data is None:
        return recommendation.run(client, located, asked.data, out, asked.most, say)
    base = ensure_base(client, recipe, say)
    out.mkdir(parents=True, exist_ok=True)
    datasets = upload(client, recipe, columns_of_dataset(recipe.data), (sides.train, sides.test), out / "rows", say)
    trained_on = with_terms(client, recipe, base, datasets.train.name, say)
    job = learn(client, recipe, spec_of(located, trained_on, datasets.train.name), say)
    promote(client, recipe, job.model_version, datasets.test.name, say)
    write_rules(recipe, out)
    served, outcome = _serve(client, asked, sides.test, job.model_version, say)
    beside = _beside(asked, sides, outcome, say)
    deletions: tuple[Deletion, ...] = ()
    if most := recipe.evaluation.deletion_test:
        say("explanations are tried")
        deletions = deletion_test(client, short(job.model_version), sides.test, most, recipe.serving.reasons)
    sample = asked.most is not None
    found = figures_of(recipe, datasets, job, outcome, beside, served, sample=sample, deletions=deletions)
    write(client, out, found)
    return found


def quick_look(located: Located) -> Located:
    """Returns a recipe for some of its rows: what comes out passes no gate, and serves under an alias of its own."""
    recipe = located.recipe
    serving = recipe.serving.model_copy(update={"alias": QUICK_LOOK, "release": None})
    if source := serving.catalogue:
        named = source.model_copy(update={"id": f"{source.id}-{QUICK_LOOK}"})
        serving = serving.model_copy(update={"catalogue": named})
    evaluation = recipe.evaluation.model_copy(update={"gate": Gate()})
    return replace(located, recipe=recipe.model_copy(update={"serving": serving, "evaluation": evaluation}))


def short(version: str) -> str:
    """Returns `a/versions/1` for `models/a/versions/1`."""
    return version.removeprefix("models/")


def _serve(
    client: Client, asked: Run, rows: Sequence[SolutionRow], version: str, say: Say
) -> "tuple[Answers, Outcome]":
    recipe = asked.located.recipe
    # While a release tries the version, not every call of the alias is for it.
    model = short(version) if recipe.serving.release else f"{recipe.model}@{recipe.serving.alias}"
    say(f"asking {model} about {len(rows)} rows")
    if recipe.serving.catalogue:
        return _search(client, recipe.serving.catalogue, _entries(asked), rows, model, version)
    answers = ask(client, model, [row.asked(recipe.task.head) for row in rows], version)
    return answers, outcome_of(recipe, rows, answers.predictions)


def _search(
    client: Client,
    source: CatalogueSource,
    entries: Sequence[Entry],
    rows: Sequence[SolutionRow],
    model: str,
    version: str,
) -> "tuple[Answers, Outcome]":
    wait_for(client, model, rows[0].text, version)
    fill_catalogue(client, source.id, model, entries)
    searched = search(client, source.id, [row.text for row in rows])
    digest = client.get_model_version(version).bundle_digest
    keys = len({key_of(entry) for entry, _ in entries})
    answers = Answers((), version, digest, tuple(searched.seconds), tuple(searched.sure))
    found = [[key_of(entry) for entry in line] for line in searched.found]
    return answers, found_in_catalogue(rows, found, keys)


def _entries(asked: Run) -> list[Entry]:
    source = asked.located.recipe.serving.catalogue
    return entries_of(asked.located, source, asked.data) if source else []


def _beside(asked: Run, sides: Sides, outcome: Outcome, say: Say) -> list[Beside]:
    recipe, found = asked.located.recipe, []
    learnt = rows_of(_entries(asked)) or sides.train
    for name in recipe.evaluation.baselines:
        say(f"baseline {name}")
        theirs = baselines.baseline(name, recipe, learnt, sides.test)
        found.append(figures.beside(recipe, name, outcome, theirs))
    return found
