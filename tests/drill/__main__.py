"""`python -m drill --runs 30 --seed 0`."""

import argparse
import sys
import tempfile
from pathlib import Path

from drill.drill import main

parser = argparse.ArgumentParser(prog="drill", description="Kills whatever trains, and looks at what comes of it.")
parser.add_argument("--runs", type=int, default=30, help="trainings, each with one fault (default 30)")
parser.add_argument("--seed", type=int, default=0, help="of faults and moments (default 0)")
asked = parser.parse_args()
with tempfile.TemporaryDirectory(prefix="symbiont-drill-") as folder:
    sys.exit(main(asked.runs, asked.seed, Path(folder)))
