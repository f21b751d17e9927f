"""The committed dashboards as their readers need them: panels, and queries with the variables filled in."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/grafana/dashboards"
# What Grafana fills in by itself, for a scrape each second and a look at a minute or more.
GRAFANA = {"__rate_interval": "15s", "__interval": "15s", "__range": "2m", "__range_s": "120"}


@dataclass(frozen=True)
class Dashboard:
    """One of the files."""

    path: Path

    @cached_property
    def document(self) -> dict[str, Any]:
        """The whole file."""
        document: dict[str, Any] = json.loads(self.path.read_text())
        return document

    @property
    def name(self) -> str:
        """The file's name without its end."""
        return self.path.stem

    @property
    def panels(self) -> list[dict[str, Any]]:
        """The panels in order, headlines left out."""
        return [panel for panel in self.document["panels"] if panel["type"] != "row"]

    @property
    def variables(self) -> list[dict[str, Any]]:
        """The choices at the top, that of the data source left out."""
        return [one for one in self.document["templating"]["list"] if one["type"] == "query"]

    def queries(self) -> Iterator[tuple[dict[str, Any], str]]:
        """Yields each panel with each of its queries, everything chosen where there is a choice."""
        values = GRAFANA | {one["name"]: one["allValue"] for one in self.variables}
        for panel in self.panels:
            for target in panel["targets"]:
                yield panel, filled(target["expr"], values)


def dashboards() -> list[Dashboard]:
    """Returns every committed dashboard, by name."""
    return [Dashboard(path) for path in sorted(FOLDER.glob("*.json"))]


def filled(expr: str, values: dict[str, str]) -> str:
    """Returns a query with its variables filled in; KeyError for one that has no value."""
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: values[found[1] or found[2]], expr)
