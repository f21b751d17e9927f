"""`symbiont usage`: what tenants and providers of base models are to be billed for, as Prometheus has counted it."""

import csv
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from symbiont.cli.console import make_console
from symbiont.cli.render import table
from symbiont.common.errors import InvalidArgument, Unavailable
from symbiont.common.spreadsheets import inert

TIMEOUT_S = 60.0
# What every replica of inference says of a base: one row of each, should they disagree for a moment.
_PROVIDERS = "topk by (base) (1, max by (base, provider) (symbiont_inference_base_info))"
# Of what every replica counts, the most is taken in each such part of the time: one that replaced another has a part.
_SLICE_S = 300
# Looks at whether Prometheus has a whole span.
_LOOKS = 200
_NOBODY = "(none)"


class By(StrEnum):
    """Whose usage it is."""

    TENANT = "tenant"
    PROVIDER = "provider"


@dataclass(frozen=True)
class Amount:
    """A column: what is counted.

    Args:
        counter: without its `_total`.
        parts: whether each replica has counted its own part of it, or all.
    """

    column: str
    counter: str
    parts: bool = True

    def query(self, by: By, days: float) -> str:
        """Returns what Prometheus is asked for."""
        span = round(days * 86_400)
        if by is By.TENANT:
            return self._by("tenant", span)
        grown = self._by("base", span)
        whose = f"{grown} * on (base) group_left (provider) {_PROVIDERS} or {grown} unless on (base) {_PROVIDERS}"
        return f'sum by (provider) (label_replace({whose}, "provider", "{_NOBODY}", "provider", ""))'

    def _by(self, label: str, span: int) -> str:
        if not self.parts:
            grown = f"increase({self.counter}_total[{_SLICE_S}s])"
            return f"sum_over_time(max by ({label}) ({grown})[{span}s:{_SLICE_S}s])"
        # What a series begins with is no increase to Prometheus: with all of it, where all is used within a scrape.
        first = f"min_over_time({self.counter}_total[{span}s])"
        born = f"{first} and min_over_time({self.counter}_created[{span}s]) > time() - {span}"
        grown = f"increase({self.counter}_total[{span}s])"
        return f'sum by ({label}) ({grown} or label_replace({born}, "born", "yes", "", ""))'


_AMOUNTS = {
    By.TENANT: [
        Amount("tokens", "symbiont_inference_tenant_tokens"),
        Amount("generated tokens", "symbiont_inference_tenant_generated_tokens"),
        Amount("compute seconds", "symbiont_inference_tenant_compute_seconds"),
        Amount("training seconds", "symbiont_training_tenant_worker_seconds", parts=False),
        Amount("training cost", "symbiont_training_tenant_cost", parts=False),
    ],
    By.PROVIDER: [
        Amount("tokens", "symbiont_inference_base_tokens"),
        Amount("generated tokens", "symbiont_inference_generated_tokens"),
        Amount("compute seconds", "symbiont_inference_base_compute_seconds"),
    ],
}


def usage(
    prometheus: Annotated[
        str, typer.Option(help="Where Prometheus is.", envvar="SYMBIONT_PROMETHEUS")
    ] = "http://127.0.0.1:9090",
    days: Annotated[float, typer.Option(help="How far back from now.", min=0.01)] = 30.0,
    by: Annotated[By, typer.Option(help="Whose usage it is.")] = By.TENANT,
    file: Annotated[
        Path | None, typer.Option("--csv", help="Write it here, too, for a spreadsheet or a bill.", show_default=False)
    ] = None,
) -> None:
    """Shows the tokens, computing and training that tenants, or the bases of providers, have used.

    It is what the metrics of the services have counted, added up by Prometheus over all replicas; what a process
    counted after its last scrape before it was killed is missing. Tenants that have a weight (SYMBIONT_TENANT_WEIGHTS)
    are always counted by name; of the others those that use most, and the rest together as "other". What is nobody's is
    "(none)": bases without a provider. It says so where Prometheus does not have the whole time.

    Example: symbiont usage --days 31 --by provider --csv shares.csv
    """
    amounts = _AMOUNTS[by]
    with _client(prometheus) as asked:
        columns = [_ask(asked, amount.query(by, days), by.value) for amount in amounts]
        began = _began(asked, days)
    rows = _rows(columns)
    head = [by.value, *(amount.column for amount in amounts)]
    if file:
        with file.open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows([head, *([inert(name), *values] for name, values in rows)])
    shown = ([name, *(f"{value:,.0f}" if value >= 10 else f"{value:.2g}" for value in values)] for name, values in rows)
    made = table([head[0].upper(), *(f">{column.upper()}" for column in head[1:])], shown)
    make_console().print(
        made if rows else f"nobody has used anything within {days:g} days, as far as {prometheus} knows"
    )
    if began:
        told = f"{prometheus} knows nothing from before {began:%Y-%m-%d %H:%M} UTC: what was used earlier is missing"
        make_console(stderr=True).print(f"[yellow]{told}[/] (its --storage.tsdb.retention.time)", soft_wrap=True)


def _rows(columns: Sequence[Mapping[str, float]]) -> list[tuple[str, list[float]]]:
    names = {name for column in columns for name, value in column.items() if value}
    rows = [(name, [round(column.get(name, 0.0), 3) for column in columns]) for name in names]
    return sorted(rows, key=lambda row: (-row[1][0], row[0]))


def _client(url: str) -> httpx.Client:
    try:
        return httpx.Client(base_url=url, timeout=TIMEOUT_S)
    except httpx.InvalidURL as exc:
        raise InvalidArgument("--prometheus", f"{url} is no URL: {exc}") from exc


def _began(prometheus: httpx.Client, days: float) -> datetime | None:
    """Returns when what Prometheus has of the last days begins, where that is not all of them."""
    step = round(days * 86_400 / _LOOKS)
    # By what it scraped at all: where it is older than the suite, nothing was used before.
    found = _ask(prometheus, f"min_over_time(timestamp(max(up))[{_LOOKS * step}s:{step}s]) - time()", "")
    late = days * 86_400 + min(found.values(), default=0.0)
    return datetime.fromtimestamp(time.time() + min(found.values()), UTC) if found and late > 2 * step else None


def _ask(prometheus: httpx.Client, query: str, label: str) -> dict[str, float]:
    """Returns amounts by the value of a label.

    Raises:
        InvalidArgument: what is there is no Prometheus.
        Unavailable: nothing is there.
    """
    try:
        answer = prometheus.get("/api/v1/query", params={"query": query})
        found: list[dict[str, Any]] = answer.raise_for_status().json()["data"]["result"]
        return {series["metric"].get(label) or _NOBODY: float(series["value"][1]) for series in found}
    except httpx.TransportError as exc:
        problem = f"{prometheus.base_url} does not answer ({exc}): say where Prometheus is by --prometheus"
        raise Unavailable(problem) from exc
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as exc:
        problem = f"{prometheus.base_url} does not answer as Prometheus does: {exc}"
        raise InvalidArgument("--prometheus", problem) from exc
