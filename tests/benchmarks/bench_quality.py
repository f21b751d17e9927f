"""How good models become: every tuning method on real sets, three seeds each, against the bars that were set for them.

`python tests/benchmarks/bench_quality.py --data FOLDER` trains what is not yet in `quality/results.jsonl`, one line a
training as it ends, and then prints the table; stopped and started again it goes on where it was. All of it takes about
a day on two cores. `--table` prints what there is. `--small` learns a few made-up rows, to check that it still runs.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from quality.sets import SETS
from quality.training import METHODS, Cell, train
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "quality" / "results.jsonl"
SEEDS = 3
# A method, another one, and by how many points it may be below that on average.
FALLS = (("lora", "full", 0.5), ("houlsby", "full", 0.5), ("adalora", "lora", 0.3), ("prefix", "full", 3.0))
# By how much probabilities may be off, once calibrated.
CALIBRATED = 0.03
Results = dict[str, dict[str, Any]]


def cells() -> Iterator[Cell]:
    """Yields every training; all sets and methods once before any of them a second time."""
    for seed in range(SEEDS):
        for name, chosen in SETS.items():
            for method in chosen.methods or METHODS:
                yield Cell(name, method, seed)


def read(path: Path) -> Results:
    """Returns the results that are there, by key."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {result["key"]: result for result in map(json.loads, lines)}


def values(results: Results, name: str, method: str) -> list[float]:
    """Returns what a method came to on a set, in points, for each seed that was trained."""
    found = (results.get(Cell(name, method, seed).key) for seed in range(SEEDS))
    return [100 * result["value"] for result in found if result]


def calibrated(results: Results, method: str) -> list[str]:
    """Returns the sets on which a method's probabilities are as right as they have to be, on average of the seeds."""
    errors: dict[str, list[float]] = defaultdict(list)
    for result in results.values():
        name, by, _ = result["key"].split("/")
        # Questions have no probabilities of classes.
        if by == method and "calibration_error" in result["metrics"]:
            errors[name].append(result["metrics"]["calibration_error"])
    return [name for name, found in errors.items() if mean(found) <= CALIBRATED]


def fall(results: Results, method: str, than: str) -> list[float]:
    """Returns by how much a method is worse than another, in points, on each set that both were trained on."""
    pairs = ((values(results, name, than), values(results, name, method)) for name in SETS)
    return [mean(better) - mean(worse) for better, worse in pairs if better and worse]


def table(results: Results) -> Table:
    """Returns sets by methods: means, with the lowest and the highest of the seeds."""
    made = Table("set", "metric", *METHODS)
    for name in SETS:
        done = [result for key, result in results.items() if key.startswith(f"{name}/")]
        if done:
            made.add_row(name, done[0]["metric"], *(_words(values(results, name, method)) for method in METHODS))
    shares = ([r["trained"] for key, r in results.items() if f"/{method}/" in key] for method in METHODS)
    made.add_row("trained", "%", *(f"{100 * mean(found):.1f}" if found else "" for found in shares))
    return made


def _words(found: list[float]) -> str:
    if not found:
        return ""
    spread = f" ({min(found):.1f}-{max(found):.1f})" if len(found) > 1 else ""
    return f"{mean(found):.1f}{spread}"


def bars(results: Results) -> Iterator[tuple[str, float, float, str]]:
    """Yields promises: what is promised, what was found, the limit, and whether that is `most` or `least`."""
    for method, than, limit in FALLS:
        if found := fall(results, method, than):
            yield f"{method} below {than}, in points, on average of {len(found)} sets", mean(found), limit, "most"
    for method in ("lora", "houlsby"):
        if found := [r["trained"] for key, r in results.items() if f"/{method}/" in key]:
            yield f"{method}: parameters that are trained, in %", 100 * max(found), 4, "most"
    sure = {method: calibrated(results, method) for method in METHODS}
    most = max(sure, key=lambda method: len(sure[method]))
    yield f"{most}: sets calibrated to {CALIBRATED:.0%} ({', '.join(sure[most])})", len(sure[most]), 3, "least"
    best = [mean(found) for method in METHODS if (found := values(results, "banking77-all", method))]
    if best:
        yield "banking77, accuracy of the best method on the dev part, in %", max(best), 93.5, "least"


def main() -> int:
    """Trains what is missing, prints, judges; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the sets, each in one of its own")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no training after so many minutes")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="print what there is, and train nothing")
    parser.add_argument("--small", action="store_true", help="a minute, and no judgement")
    asked = parser.parse_args()
    if asked.small:
        return small()
    results = read(asked.results)
    if not asked.table and asked.data is None:
        parser.error("--data is needed to train; --table prints what was found before")
    began, missing = time.monotonic(), [c for c in cells() if c.key not in results and c.set in asked.sets]
    for number, cell in enumerate([] if asked.table else missing, start=1):
        if time.monotonic() - began > 60 * asked.minutes:
            break
        print(f"{number} of {len(missing)}: {cell.key}", flush=True)
        result = train(cell, asked.data)
        with asked.results.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(result) + "\n")
        results[cell.key] = result
        print(f"  {result['metric']} {100 * result['value']:.2f} in {result['seconds']} s", flush=True)
    return judge(results)


def judge(results: Results) -> int:
    """Prints the table and the bars; returns 1 when one is missed or cannot be told yet."""
    Console(width=140).print(table(results))
    trained = sum(cell.key in results for cell in cells())
    total = sum(1 for _ in cells())
    print(f"{trained} of {total} trainings are done")
    missed = 0
    for name, value, limit, word in bars(results):
        held = value <= limit if word == "most" else value >= limit
        missed += not held
        print(f"{'held' if held else 'missed'}: {name}: {value:.2f}, at {word} {limit:g}")
    return int(missed > 0 or trained < total)


def small() -> int:
    """Trains two methods on a tiny base and rows that are made up, written as the real ones are."""
    import csv
    import tempfile

    from support.tiny import labelled_rows, save_base

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "uci-sentiment"
        folder.mkdir()
        for part, seed in (("train", 0), ("dev", 1)):
            with (folder / f"{part}.csv").open("w", encoding="utf-8", newline="") as stream:
                csv.writer(stream).writerows([("text", "label"), *labelled_rows(60, seed)])
        base = save_base(Path(name) / "tiny")
        cells = [Cell("uci-sentiment", method, 0) for method in ("lora", "head-only")]
        made = [train(cell, Path(name), base) for cell in cells]
    judge({result["key"]: result for result in made})
    return 0


if __name__ == "__main__":
    sys.exit(main())
