"""Runs the industry solutions on their real sets, and writes the table of figures into each one's README.

`python tests/benchmarks/bench_solutions.py --data FOLDER` runs all of them on a suite of its own; days of CPU, and the
same command goes on where it was stopped. `--only NAME` runs one. `--small` takes 48 rows of each side and writes no
table; without `--data` it then runs what `symbiont solutions new` begins.
"""

import argparse
import csv
import json
import signal
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.stacks import BenchmarkStack, calling
from symbiont.client import Client
from symbiont.local.home import Home
from symbiont.local.stack import Stack
from symbiont.solutions.figures import Figures
from symbiont.solutions.loading import find_recipe, shipped
from symbiont.solutions.promoting import NotPromotedError
from symbiont.solutions.running import Run, run
from symbiont.solutions.scaffold import scaffold
from symbiont.solutions.table import write_replay, write_table
from symbiont.solutions.warning.replay import DAYS
from symbiont.solutions.warning.replaying import replay

# Where the raw files of each lie, below the folder of the sets.
FOLDERS = {
    "answer-grading": "semeval13-asag",
    "city-places": "xsid",
    "city-reports": "nlupp-banking",
    "credit-risk": "german-credit",
    "customer-answers": "banking77",
    "customer-answers-zh": "crosswoz-zh",
    "customer-intents": "banking77",
    "customer-scope": "clinc150",
    "film-recommendation": "movielens-small",
    "financial-sentiment": "sentfin",
    "financial-warning": "",
    "medical-questions": "pubmedqa",
    "reading-answers": "",
}
SMALL_ROWS = 48
# There is no free set of citizens' reports: messages to a bank, with several intents each, stand in for them.
STANDS_IN = "city-reports"
MESSAGES_A_DAY = 8


def runs_of(arguments: argparse.Namespace, home: Path) -> list[Run]:
    """Returns what is to be run."""
    most = SMALL_ROWS if arguments.small else None
    if arguments.data is None:
        made = scaffold("begun", Path(tempfile.mkdtemp()))
        return [Run(find_recipe(str(made)), made / "data", home / "solutions/begun", most)]
    names = [arguments.only] if arguments.only else list(FOLDERS)
    folders = {name: arguments.data / FOLDERS[name] for name in names}
    if STANDS_IN in folders:
        folders[STANDS_IN] = as_reports(folders[STANDS_IN], Path(tempfile.mkdtemp()))
    return [Run(find_recipe(name), folders[name], home / "solutions" / name, most) for name in names]


def as_reports(messages: Path, folder: Path) -> Path:
    """Writes messages as the template of reports wants them, and returns the folder.

    Dates count on in the order of the files; a district is the first letter of the text, which tells nothing.
    """
    with (folder / "reports.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["text", "departments", "district", "date"])
        text = "".join((messages / f"{name}.jsonl").read_text(encoding="utf-8") for name in ("train", "dev"))
        for number, row in enumerate(map(json.loads, text.splitlines())):
            day = date(2024, 1, 1) + timedelta(number // MESSAGES_A_DAY)
            district = "a to m" if row["text"][:1].lower() <= "m" else "n to z"
            table.writerow([row["text"], "|".join(row["intents"]), district, day])
    return folder


def show(found: Figures) -> bool:
    """Prints what was found; returns whether no bar is missed."""
    print(f"{found.title}: {', '.join(f'{m.metric} {m.estimate.value:.4f}' for m in found.measured)}")
    words = {True: "held", False: "missed", None: "not judged"}
    for bar in found.bars:
        print(f"{words[bar.held]}: {bar.text}")
    return found.sample or all(bar.held is not False for bar in found.bars)


def with_approval(stack: Stack, client: Client, asked: Run) -> Figures:
    """Runs a solution; where a person must approve of the version, another one than the caller does."""

    def say(text: str) -> None:
        print(f"  {text}", flush=True)

    gate = asked.located.recipe.evaluation.gate
    try:
        return run(client, asked, say)
    except NotPromotedError:
        if not gate.approvals or asked.most is not None:
            raise
    recipe = asked.located.recipe
    version = next(iter(client.list_model_versions(recipe.model))).name
    with calling(stack, "second") as second:
        second.approve(version.removeprefix("models/"), recipe.serving.alias, "figures were read")
    return run(client, asked, say)


def tried(client: Client, asked: Run, readme: Path) -> bool:
    """Tries the chart on rows of the past, and writes what came of it; returns whether it is good enough."""
    replayed = replay(client, asked.located.recipe, asked.data)
    found = replayed.figures
    write_replay(readme, found)
    readme.with_name("replay.svg").write_text(replayed.picture(asked.located.recipe.title) + "\n", encoding="utf-8")
    figures = (
        f"{found.found} of {found.surges} surges, {found.per_topic_90:.2f} false alarms per topic and {DAYS} windows"
    )
    print(f"{'held' if found.good else 'missed'}: {figures}")
    return found.good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only", choices=FOLDERS)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--home", type=Path, default=Path(".symbiont/solutions"))
    arguments = parser.parse_args()
    if arguments.data is None and not arguments.small:
        parser.error("name the folder of the sets with --data, or take --small")
    # Whoever ends it in the background ends its suite as well.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit("ended"))
    # A quick look leaves nothing behind that a whole run would find.
    home, good = Path(tempfile.mkdtemp()) if arguments.small else arguments.home.absolute(), True
    with BenchmarkStack(Home(home)) as stack:
        stack.wait_ready()
        with calling(stack) as client:
            for asked in runs_of(arguments, home):
                solution = asked.located.recipe.solution
                print(f"== {solution}", flush=True)
                found = with_approval(stack, client, asked)
                good = show(found) and good
                if not found.sample:
                    readme = shipped()[solution].with_name("README.md")
                    write_table(readme, found)
                    good = (not asked.located.recipe.monitoring.replay or tried(client, asked, readme)) and good
    sys.exit(not good)


if __name__ == "__main__":
    main()
