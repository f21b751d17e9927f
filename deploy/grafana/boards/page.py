"""A dashboard: its variables, what is marked in its graphs, its links, and its panels in lines."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from grafana_foundation_sdk.builders import dashboard, prometheus, stat
from grafana_foundation_sdk.models import dashboard as d
from grafana_foundation_sdk.models.common import BigValueTextMode
from grafana_foundation_sdk.models.stat import Options

from boards.panels import DATASOURCE, Panel

TAG = "symbiont"
WIDTH, FIGURE_HEIGHT, HEIGHT = 24, 4, 9
PROMOTED = "sum(increase(symbiont_training_promotions_total[1m])) > 0"
# Those of the suite: a cluster has others, of which one fires always.
FIRING = 'sum by (alertname) (ALERTS{alertstate="firing", alertname=~"Symbiont.+"})'


@dataclass(frozen=True)
class Variable:
    """A choice at the top of the page: all values of a label, unless some are chosen."""

    name: str
    label: str
    metric: str
    of: str

    def build(self) -> dashboard.QueryVariable:
        """Returns it as Grafana has it."""
        query: dict[str, object] = {"query": f"label_values({self.metric}, {self.of})", "refId": self.name}
        return (
            dashboard.QueryVariable(self.name)
            .label(self.label)
            .datasource(DATASOURCE)
            .query(query)
            .refresh(d.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(d.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .all_value(".*")
            .current(d.VariableOption(text="All", value="$__all"))
        )


@dataclass(frozen=True)
class Section:
    """A headline, and lines of panels that share the width; the most important first."""

    title: str
    lines: Sequence[Sequence[Panel]]


@dataclass(frozen=True)
class Page:
    """A dashboard. `name` is its file, and the end of its uid."""

    name: str
    title: str
    description: str
    sections: Sequence[Section]
    variables: Sequence[Variable] = field(default=())

    def build(self) -> d.Dashboard:
        """Returns it as Grafana has it; panels are numbered from 1 as they are read."""
        page = (
            dashboard.Dashboard(f"Symbiont: {self.title}")
            .uid(f"{TAG}-{self.name}")
            .description(self.description)
            .tags([TAG])
            .readonly()
            .tooltip(d.DashboardCursorSync.CROSSHAIR)
            .refresh("10s")
            .time("now-30m", "now")
            .with_variable(_prometheus())
            .annotation(_mark("Promotions", PROMOTED, "blue", "A version began to serve"))
            .annotation(_mark("Firing alerts", FIRING, "red", "{{alertname}}"))
            .link(_others())
        )
        for variable in self.variables:
            page.with_variable(variable.build())
        return _without_defaults(self._with_panels(page).build())

    def _with_panels(self, page: dashboard.Dashboard) -> dashboard.Dashboard:
        number = 0
        for section in self.sections:
            number += 1
            page.with_row(dashboard.Row(section.title).id(number))
            for line in section.lines:
                for panel, width in zip(line, _widths(line), strict=True):
                    number += 1
                    page.with_panel(panel.id(number).span(width).height(_height(panel)))
        return page


def _widths(line: Sequence[Panel]) -> list[int]:
    """Returns the columns of each panel, so that the line is filled; figures that stand together get twice as many."""
    weights = [2 if _holds_several(panel) else 1 for panel in line]
    ends = [WIDTH * part // sum(weights) for part in accumulate(weights)]
    return [end - begin for begin, end in pairwise((0, *ends))]


def _holds_several(panel: Panel) -> bool:
    options = panel.build().options
    return isinstance(options, Options) and options.text_mode == BigValueTextMode.VALUE_AND_NAME


def _height(panel: Panel) -> int:
    return FIGURE_HEIGHT if isinstance(panel, stat.Panel) else HEIGHT


def _prometheus() -> dashboard.DatasourceVariable:
    chosen = d.VariableOption(text="Prometheus", value="prometheus")
    return dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus").current(chosen)


def _mark(name: str, expr: str, color: str, title: str) -> dashboard.AnnotationQuery:
    """Returns marks across every graph wherever a query has a value; looked for once a minute."""
    query = prometheus.Dataquery().ref_id("Anno").datasource(DATASOURCE).expr(expr).interval("60s")
    mark = dashboard.AnnotationQuery().name(name).datasource(DATASOURCE).enable(True).icon_color(color)
    return mark.target(query).title_format(title)


def _others() -> dashboard.DashboardLink:
    """Returns a button for each of the other dashboards, which are then shown for the same time."""
    link = dashboard.DashboardLink("Dashboards").type(d.DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.keep_time(True).include_vars(True).icon("external link")


def _without_defaults(page: d.Dashboard) -> d.Dashboard:
    """Takes out what the SDK says of everything, and what Grafana knows of other kinds only, or reads otherwise."""
    for variable in (page.templating and page.templating.list_val) or ():
        variable.auto = variable.auto_min = variable.auto_count = None
    of_panels = (link for panel in page.panels or () for link in getattr(panel, "links", None) or ())
    for shown in (*((page.annotations and page.annotations.list_val) or ()), *(page.links or ()), *of_panels):
        # It would hide them in a menu.
        shown.placement = None
    return page
