"""The report of a run as one page of HTML, which fetches nothing; the version's own report lies beside it."""

from symbiont.evaluation.figures import Estimate
from symbiont.evaluation.metrics.family import is_share
from symbiont.evaluation.page.html import Html, element, table
from symbiont.evaluation.page.style import STYLE
from symbiont.solutions.figures import BarResult, Beside, Figures

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def render(found: Figures) -> str:
    """Returns the page of a run."""
    title = f"{found.title}: {found.version.removeprefix('models/')}"
    body = element(
        "main",
        element("header", element("h1", title), element("div", _about(found), class_="muted"), _sample(found)),
        _section("Quality", _quality(found), _bars(found.bars)),
        _section("Beside others on the same rows", *(_beside(one) for one in found.baselines)),
        _section("Published", _published(found)) if found.published else "",
        _section("Parts of the rows", _slices(found)) if found.slices else "",
        _section("Explanations", _deletions(found)) if found.deletions else "",
        _section("Served", _served(found)),
        element("p", element("a", "The report of the version", href="evaluation.html")),
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("title", title),
        element("style", Html(STYLE)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, element('body', body), lang='en')}\n"


def number(metric: str, value: float) -> str:
    """Returns a metric as people read it: shares in percent."""
    return f"{100 * value:.1f} %" if is_share(metric) else f"{value:.3f}"


def estimated(metric: str, found: Estimate) -> str:
    """Returns a metric with its interval."""
    return f"{number(metric, found.value)} ({number(metric, found.low)} to {number(metric, found.high)})"


def _about(found: Figures) -> str:
    rows = f"{found.learnt:,} rows learnt of {found.uploaded:,}, {found.judged:,} judged"
    return f"{found.method} on {found.base.removeprefix('bases/')}; {rows}; {found.seconds:,.0f} s of training"


def _sample(found: Figures) -> Html:
    text = "Made of some of the rows, for a quick look: these are no figures of the solution."
    return element("div", text, class_="badge bad") if found.sample else Html("")


def _section(title: str, *parts: str) -> Html:
    return element("section", element("h2", title), *parts)


def _quality(found: Figures) -> Html:
    return table(["metric", "value (95 %)"], [[m.metric, estimated(m.metric, m.estimate)] for m in found.measured], 1)


def _bars(bars: "tuple[BarResult, ...]") -> Html:
    said = {True: "held", False: "missed", None: "not judged"}
    lines = (
        element("li", element("b", said[bar.held]), f" {bar.text}", class_="good" if bar.held else "bad")
        for bar in bars
    )
    return element("ul", *lines, class_="rules") if bars else Html("")


def _beside(one: Beside) -> Html:
    gains = {gain.metric: gain.estimate for gain in one.gains}
    rows = [
        [m.metric, estimated(m.metric, m.estimate), estimated(m.metric, gains[m.metric]) if m.metric in gains else ""]
        for m in one.measured
    ]
    return element("div", element("h3", one.baseline), table(["metric", one.baseline, "ours is better by"], rows, 2))


def _published(found: Figures) -> Html:
    rows = [
        [one.source, one.metric, number(one.metric, one.value), "" if one.gap is None else number(one.metric, one.gap)]
        for one in found.published
    ]
    return table(["source", "metric", "published", "ours less theirs"], rows, 2)


def _slices(found: Figures) -> Html:
    return table(
        ["property", "value", "rows", found.primary, *(one.baseline for one in found.baselines)], slice_cells(found), 2
    )


def slice_cells(found: Figures) -> list[list[str]]:
    """Returns a line for each value of each slice: how many rows, our primary metric there, and each baseline's."""
    theirs = [{(row.slice, row.value): row for row in one.slices} for one in found.baselines]
    return [
        [row.slice, row.value, str(row.rows), estimated(row.metric, row.estimate)]
        + [number(row.metric, other[key].estimate.value) if key in other else "" for other in theirs]
        for row in found.slices
        for key in [(row.slice, row.value)]
    ]


def _deletions(found: Figures) -> Html:
    rows = [
        [one.part, str(one.rows), f"{one.told:.3f}", f"{one.random:.3f}", estimated("accuracy", one.win)]
        for one in found.deletions
    ]
    head = ["what is taken out", "rows", "the most telling one", "one at random", "the first one is more in"]
    return element("div", element("p", "How far the probability of an answer falls."), table(head, rows, 1))


def _served(found: Figures) -> Html:
    latency = found.latency
    rows = [
        ["version", found.version],
        ["bundle", found.bundle_digest],
        ["p50", f"{latency.p50_ms:.1f} ms"],
        ["p99", f"{latency.p99_ms:.1f} ms"],
        ["calls of one row", str(latency.calls)],
        *(["found by the data gate", finding] for finding in found.findings),
    ]
    return table(["", ""], rows, 0)
