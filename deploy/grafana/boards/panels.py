"""The kinds of panel that the dashboards are made of, each with a title, a sentence for people, a unit and its queries.

A query that may find nothing in a healthy suite is written so that it gives 0: an empty panel says "not measured".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models import dashboard as d
from grafana_foundation_sdk.models.prometheus import QueryEditorMode

SECONDS, MICROSECONDS, BYTES, SHARE, COUNT = "s", "µs", "bytes", "percentunit", "short"
CALLS, REQUESTS, ROWS = "count:calls/s", "count:requests/s", "count:rows/s"
TEXTS, TOKENS, EVENTS = "count:texts/s", "count:tokens/s", "count:/s"
DATASOURCE = c.DataSourceRef(type_val="prometheus", uid="${datasource}")
Panel = stat.Panel | timeseries.Panel | bargauge.Panel
P = TypeVar("P", stat.Panel, timeseries.Panel, bargauge.Panel)
OK, WARN, BAD, PLAIN = "green", "orange", "red", "blue"


@dataclass(frozen=True)
class Query:
    """What is asked of Prometheus, and what each of its series is called: `{{label}}` is a label's value."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Levels:
    """Colours by value: `below` up to the first step, then each step's own."""

    below: str
    steps: Sequence[tuple[float, str]] = ()

    def build(self) -> dashboard.ThresholdsConfig:
        """Returns them as Grafana has them."""
        lowest = d.Threshold(color=self.below)
        steps = [lowest, *(d.Threshold(value=value, color=color) for value, color in self.steps)]
        return dashboard.ThresholdsConfig().mode(d.ThresholdsMode.ABSOLUTE).steps(steps)


NEUTRAL = Levels(PLAIN)
# As far as an axis goes at least: what is nearly nothing should look like it.
SOFT_MOST = {SECONDS: 0.01, MICROSECONDS: 1000, SHARE: 0.05, BYTES: 1024}


def at_most(warn: float, bad: float) -> Levels:
    """Colours of a figure that should be small."""
    return Levels(OK, [(warn, WARN), (bad, BAD)])


def at_least(good: float) -> Levels:
    """Colours of a figure that should not be below `good`."""
    return Levels(BAD, [(good, OK)])


def rate(metric: str, by: str = "", where: str = "") -> str:
    """Returns a query for the growth of a counter in a second, summed up."""
    return f"{_sum(by)}(rate({metric}{where and f'{{{where}}}'}[$__rate_interval]))"


def total(metric: str, by: str = "", where: str = "") -> str:
    """Returns a query for a gauge, summed up."""
    return f"{_sum(by)}({metric}{where and f'{{{where}}}'})"


def agreed(gauge: str, of: str, where: str = "", by: str = "") -> str:
    """Returns a query for a gauge of which every replica says the same: what one says of each `of`, summed up."""
    told = f"max by ({of}) ({gauge}{where and f'{{{where}}}'})"
    return told if by == of else f"{_sum(by)}({told})"


def quantile(share: float, histogram: str, by: str = "", where: str = "") -> str:
    """Returns a query for what `share` of a histogram's observations do not exceed."""
    grouped = ", ".join(filter(None, ("le", by)))
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', grouped, where)})"


def mean(histogram: str, by: str = "", where: str = "") -> str:
    """Returns a query for the mean of a histogram's or a summary's observations."""
    return f"{rate(f'{histogram}_sum', by, where)} / {rate(f'{histogram}_count', by, where)}"


def share(metric: str, where: str, by: str = "", among: str = "") -> str:
    """Returns a query for the part of a counter's growth that has the labels `where`; 0 where none has."""
    every = rate(metric, by, among)
    return f"({rate(metric, by, ', '.join(filter(None, (among, where))))} or {every} * 0) / {every}"


def or_zero(expr: str, label: str = "", value: str = "none") -> str:
    """Returns the query with a 0 where it would find nothing, called `value` where series are told apart by `label`."""
    zero = f'label_replace(vector(0), "{label}", "{value}", "", "")' if label else "vector(0)"
    # Without `on ()` the 0 would stand beside what is found.
    return f"{expr} or on () {zero}"


def present(expr: str, label: str) -> str:
    """Returns the query without what is 0, and with one 0 where nothing is left; see `or_zero`."""
    return or_zero(f"{expr} > 0", label)


def defined(expr: str, label: str = "") -> str:
    """Returns the query of a ratio with a 0 where it would find nothing, or divide by nothing; see `or_zero`."""
    return or_zero(f"{expr} >= 0", label)


def spread(
    histogram: str, words: str = "take no more", where: str = "", *, seldom: bool = False
) -> tuple[Query, Query]:
    """Returns the two queries that tell of a typical and of a large case; 0 where what is `seldom` does not happen."""
    half, most = (quantile(one, histogram, where=where) for one in (0.5, 0.99))
    return (
        Query(defined(half) if seldom else half, f"half {words}"),
        Query(defined(most) if seldom else most, f"99 of 100 {words}"),
    )


def figure(
    title: str,
    description: str,
    unit: str,
    query: Query,
    levels: Levels = NEUTRAL,
    *,
    words: Mapping[int, str] | None = None,
    decimals: int | None = None,
    more: str = "",
) -> stat.Panel:
    """Returns a panel with the last value of each series in large.

    Args:
        words: shown in place of a value.
        more: the dashboard that tells more, by the end of its uid.
    """
    panel = (
        _common(stat.Panel(), title, description, unit, [query])
        .color_scheme(dashboard.FieldColor().mode(d.FieldColorModeId.THRESHOLDS))
        .thresholds(levels.build())
        .color_mode(c.BigValueColorMode.BACKGROUND if levels.steps else c.BigValueColorMode.VALUE)
        .graph_mode(c.BigValueGraphMode.NONE)
        .text_mode(c.BigValueTextMode.VALUE_AND_NAME if "{{" in query.legend else c.BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    if words:
        options = {
            str(value): d.ValueMappingResult(text=word, index=i) for i, (value, word) in enumerate(words.items())
        }
        panel = panel.mappings([d.ValueMap(options=options)])
    if decimals is not None:
        panel = panel.decimals(decimals)
    if more:
        link = dashboard.DashboardLink(more).type(d.DashboardLinkType.LINK).title(f"More: {more}")
        panel = panel.links([link.url(f"/d/symbiont-{more}?${{__url_time_range}}")])
    return panel


def graph(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    levels: Levels | None = None,
    stacked: bool = False,
    most: float | None = None,
) -> timeseries.Panel:
    """Returns a panel with a line for each series.

    Args:
        levels: drawn as lines across, and areas beyond them.
        stacked: series add up to something that has a meaning.
        most: the largest value that there can be.
    """
    legend = common.VizLegendOptions().show_legend(True).placement(c.LegendPlacement.BOTTOM)
    panel = (
        _common(timeseries.Panel(), title, description, unit, queries)
        .min(0)
        .line_width(1.5)
        .fill_opacity(40 if stacked else 8)
        .show_points(c.VisibilityMode.NEVER)
        .legend(legend.display_mode(c.LegendDisplayMode.LIST).calcs([]))
        .tooltip(common.VizTooltipOptions().mode(c.TooltipDisplayMode.MULTI).sort(c.SortOrder.DESCENDING))
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(c.StackingMode.NORMAL))
    panel = panel.max(most) if most is not None else panel.axis_soft_max(SOFT_MOST.get(unit, 1))
    if levels:
        style = common.GraphThresholdsStyleConfig().mode(c.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(levels.build()).thresholds_style(style)
    return panel


def bars(title: str, description: str, unit: str, query: Query, most: float | None = None) -> bargauge.Panel:
    """Returns a panel with a bar for the present value of each series; `most` is the largest that there can be."""
    panel = (
        _common(bargauge.Panel(), title, description, unit, [query], instant=True)
        .min(0)
        .color_scheme(dashboard.FieldColor().mode(d.FieldColorModeId.THRESHOLDS))
        .thresholds(NEUTRAL.build())
        .display_mode(c.BarGaugeDisplayMode.BASIC)
        .orientation(c.VizOrientation.HORIZONTAL)
        .value_mode(c.BarGaugeValueMode.TEXT)
        .sizing(c.BarGaugeSizing.MANUAL)
        .name_placement(c.BarGaugeNamePlacement.TOP)
        .min_viz_height(16)
        .max_viz_height(44)
        .text(common.VizTextDisplayOptions().title_size(14).value_size(16))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    return panel if most is None else panel.max(most)


def _common(panel: P, title: str, description: str, unit: str, queries: Sequence[Query], *, instant: bool = False) -> P:
    panel.title(title).description(description).unit(unit).datasource(DATASOURCE)
    for number, query in enumerate(queries):
        target = prometheus.Dataquery().ref_id(chr(ord("A") + number)).datasource(DATASOURCE)
        target.expr(query.expr).legend_format(query.legend).editor_mode(QueryEditorMode.CODE)
        panel.with_target(target.instant() if instant else target.range())
    return panel


def _sum(by: str) -> str:
    return f"sum by ({by}) " if by else "sum"
