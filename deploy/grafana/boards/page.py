"""A dashboard: its variables, what is marked in its graphs, its links, and its panels in lines."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from grafana_foundation_sdk.builders import dashboard, stat
from grafana_foundation_sdk.models import dashboard as d

from boards.panels import DATASOURCE, Panel

TAG = "symbiont"
WIDTH, FIGURE_HEIGHT, HEIGHT = 24, 4, 9
PROMOTED = "sum(increase(symbiont_training_promotions_total[1m])) > 0"
FIRING = 'sum by (alertname) (ALERTS{alertstate="firing"})'


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
        return self._with_panels(page).build()

    def _with_panels(self, page: dashboard.Dashboard) -> dashboard.Dashboard:
        number = 0
        for section in self.sections:
            number += 1
            page.with_row(dashboard.Row(section.title).id(number))
            for line in section.lines:
                for panel in line:
                    number += 1
                    page.with_panel(panel.id(number).span(WIDTH // len(line)).height(_height(panel)))
        return page


def _height(panel: Panel) -> int:
    return FIGURE_HEIGHT if isinstance(panel, stat.Panel) else HEIGHT


def _prometheus() -> dashboard.DatasourceVariable:
    chosen = d.VariableOption(text="Prometheus", value="prometheus")
    return dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus").current(chosen)


def _mark(name: str, expr: str, color: str, title: str) -> dashboard.AnnotationQuery:
    """Returns marks across every graph wherever a query has a value."""
    mark = dashboard.AnnotationQuery().name(name).datasource(DATASOURCE).enable(True).icon_color(color)
    return mark.expr(expr).title_format(title)


def _others() -> dashboard.DashboardLink:
    """Returns a button for each of the other dashboards, which are then shown for the same time."""
    link = dashboard.DashboardLink("Dashboards").type(d.DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.keep_time(True).include_vars(True).icon("external link")
