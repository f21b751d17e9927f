"""Runs the industry solutions on their real sets, and writes the table of figures into each one's README.

`python tests/benchmarks/bench_solutions.py --data FOLDER` runs all of them on a suite of its own; days of CPU, and the
same command goes on where it was stopped. `--only NAME` runs one. `--small` takes 48 rows of each side and writes no
table; without `--data` it then runs what `symbiont solutions new` begins.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.stacks import calling
from symbiont.client import Client
from symbiont.local.home import Home
from symbiont.local.stack import Stack
from symbiont.solutions.figures import Figures
from symbiont.solutions.loading import find_recipe, shipped
from symbiont.solutions.running import Run, run
from symbiont.solutions.scaffold import scaffold
from symbiont.solutions.table import write_replay, write_table
from symbiont.solutions.warning.replay import DAYS
from symbiont.solutions.warning.replaying import replay

# Where the raw files of each lie, below the folder of the sets.
FOLDERS = {
    "answer-grading": "semeval13-asag",
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


def runs_of(arguments: argparse.Namespace, home: Path) -> list[Run]:
    """Returns what is to be run."""
    most = SMALL_ROWS if arguments.small else None
    if arguments.data is None:
        made = scaffold("begun", Path(tempfile.mkdtemp()))
        return [Run(find_recipe(str(made)), made / "data", home / "solutions/begun", most)]
    names = [arguments.only] if arguments.only else list(FOLDERS)
    return [Run(find_recipe(name), arguments.data / FOLDERS[name], home / "solutions" / name, most) for name in names]


def show(found: Figures) -> bool:
    """Prints what was found; returns whether no bar is missed."""
    print(f"{found.title}: {', '.join(f'{m.metric} {m.estimate.value:.4f}' for m in found.measured)}")
    words = {True: "held", False: "missed", None: "not judged"}
    for bar in found.bars:
        print(f"{words[bar.held]}: {bar.text}")
    return found.sample or all(bar.held is not False for bar in found.bars)


def tried(client: Client, asked: Run, readme: Path) -> bool:
    """Tries the chart on rows of the past, and writes what came of it; returns whether it is good enough."""
    found = replay(client, asked.located.recipe, asked.data)
    write_replay(readme, found)
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
    # A quick look leaves nothing behind that a whole run would find.
    home, good = Path(tempfile.mkdtemp()) if arguments.small else arguments.home.absolute(), True
    with Stack(Home(home)) as stack:
        stack.wait_ready()
        with calling(stack) as client:
            for asked in runs_of(arguments, home):
                solution = asked.located.recipe.solution
                print(f"== {solution}", flush=True)
                found = run(client, asked, lambda text: print(f"  {text}", flush=True))
                good = show(found) and good
                if not found.sample:
                    readme = shipped()[solution].with_name("README.md")
                    write_table(readme, found)
                    good = (not asked.located.recipe.monitoring.replay or tried(client, asked, readme)) and good
    sys.exit(not good)


if __name__ == "__main__":
    main()
