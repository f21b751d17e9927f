"""The table of figures in a solution's README: written by a run, and honestly empty before."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from symbiont.common.errors import InvalidArgument
from symbiont.solutions.figures import Figures
from symbiont.solutions.page import estimated, number
from symbiont.solutions.warning.replay import DAYS, ReplayFigures

BEGIN, END = "<!-- figures: written by `symbiont solutions report --readme` -->", "<!-- end of figures -->"
REPLAY_BEGIN, REPLAY_END = "<!-- replay: written by `make solutions` -->", "<!-- end of replay -->"
COLUMNS = ("metric", "ours (95 %)", "baseline", "published for this size, and the gap", "served p50", "training")
HEAD = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|"
NOT_RUN = "not yet run"


def write_table(readme: Path, found: Figures) -> None:
    """Puts the figures of a run in the place of the table.

    Raises:
        InvalidArgument: it was a quick look at some of the rows, or the page has no place for a table.
    """
    if found.sample:
        raise InvalidArgument("readme", "figures of a run with --rows are none of the solution: run it on all rows")
    _put(readme, BEGIN, END, "\n".join([HEAD, *_lines(found)]))


def write_replay(readme: Path, found: ReplayFigures) -> None:
    """Puts the figures of a replay in the place of theirs.

    Raises:
        InvalidArgument: the page has no place for them.
    """
    cells = {
        "topics, windows, replays": f"{found.topics}, {found.windows}, {found.replays}",
        "surges found in time": f"{found.found} of {found.surges} ({number('recall', found.recall)})",
        "of the others, begun in the quiet after an alarm": f"{found.quiet} of {found.surges - found.found}",
        "delay in windows": delays_of(found),
        "precision": number("accuracy", found.precision),
        f"false alarms, per topic and {DAYS} windows": f"{found.false_alarms}, {found.per_topic_90:.2f}",
    }
    lines = (f"| {name} | {value} |" for name, value in cells.items())
    _put(readme, REPLAY_BEGIN, REPLAY_END, "\n".join(["| replay | value |\n|---|---|", *lines]))


def delays_of(found: ReplayFigures) -> str:
    """Returns how many alarms came after how many windows, for people."""
    counted = sorted(Counter(found.delays).items())
    return ", ".join(f"{windows}: {count}" for windows, count in counted)


def _put(readme: Path, first: str, last: str, table: str) -> None:
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise InvalidArgument("readme", f"{readme} has no lines {first} and {last} to put the table between")
    readme.write_text(f"{before}{first}\n{table}\n{last}{after}", encoding="utf-8")


def empty_table(metrics: "list[str]") -> str:
    """Returns the table of a solution that was not run."""
    lines = (f"| {metric} | {NOT_RUN} | {NOT_RUN} | | {NOT_RUN} | {NOT_RUN} |" for metric in metrics)
    return "\n".join([BEGIN, HEAD, *lines, END])


def _lines(found: Figures) -> Iterator[str]:
    for one in found.measured:
        theirs = (
            f"{beside.baseline} {number(one.metric, m.estimate.value)}"
            for beside in found.baselines
            for m in beside.measured
            if m.metric == one.metric
        )
        published = (
            f"{number(p.metric, p.value)} ({p.source}), gap {number(p.metric, p.gap or 0.0)}"
            for p in found.published
            if p.metric == one.metric
        )
        cells = [one.metric, estimated(one.metric, one.estimate), "; ".join(theirs), "; ".join(published)]
        yield f"| {' | '.join([*cells, f'{found.latency.p50_ms:.1f} ms', f'{found.seconds:,.0f} s'])} |"
