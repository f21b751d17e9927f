"""`symbiont usage`: what tenants and providers of base models are to be billed for, as Prometheus has counted it."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
# What every replica of inference says of a base.
_PROVIDERS = "on (base) group_left (provider) max by (base, provider) (symbiont_inference_base_info)"


class By(StrEnum):
    """Whose usage it is."""

    TENANT = "tenant"
    PROVIDER = "provider"


@dataclass(frozen=True)
class Amount:
    """A column: what is counted, by which counter, and whether each replica has counted its own part of it."""

    column: str
    counter: str
    parts: bool = True

    def query(self, by: By, days: float) -> str:
        """Returns what Prometheus is asked for."""
        label = "tenant" if by is By.TENANT else "base"
        join = "sum" if self.parts else "max"
        grown = f"{join} by ({label}) (increase({self.counter}[{round(days * 86_400)}s]))"
        return grown if by is By.TENANT else f"sum by (provider) ({grown} * {_PROVIDERS})"


_AMOUNTS = {
    By.TENANT: [
        Amount("tokens", "symbiont_inference_tenant_tokens_total"),
        Amount("generated tokens", "symbiont_inference_tenant_generated_tokens_total"),
        Amount("compute seconds", "symbiont_inference_tenant_compute_seconds_total"),
        Amount("training seconds", "symbiont_training_tenant_worker_seconds_total", parts=False),
        Amount("training cost", "symbiont_training_tenant_cost_total", parts=False),
    ],
    By.PROVIDER: [
        Amount("tokens", "symbiont_inference_base_tokens_total"),
        Amount("generated tokens", "symbiont_inference_generated_tokens_total"),
        Amount("compute seconds", "symbiont_inference_base_compute_seconds_total"),
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
    are always counted by name; of the others those that use most, and the rest together as "other".

    Example: symbiont usage --days 31 --by provider --csv shares.csv
    """
    amounts = _AMOUNTS[by]
    with _client(prometheus) as asked:
        columns = [_ask(asked, amount.query(by, days), by) for amount in amounts]
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


def _rows(columns: Sequence[Mapping[str, float]]) -> list[tuple[str, list[float]]]:
    names = {name for column in columns for name, value in column.items() if value}
    rows = [(name, [round(column.get(name, 0.0), 3) for column in columns]) for name in names]
    return sorted(rows, key=lambda row: (-row[1][0], row[0]))


def _client(url: str) -> httpx.Client:
    try:
        return httpx.Client(base_url=url, timeout=TIMEOUT_S)
    except httpx.InvalidURL as exc:
        raise InvalidArgument("--prometheus", f"{url} is no URL: {exc}") from exc


def _ask(prometheus: httpx.Client, query: str, by: By) -> dict[str, float]:
    """Returns amounts by name.

    Raises:
        InvalidArgument: what is there is no Prometheus.
        Unavailable: nothing is there.
    """
    try:
        answer = prometheus.get("/api/v1/query", params={"query": query})
        found: list[dict[str, Any]] = answer.raise_for_status().json()["data"]["result"]
        return {series["metric"].get(by.value) or "(none)": float(series["value"][1]) for series in found}
    except httpx.TransportError as exc:
        problem = f"{prometheus.base_url} does not answer ({exc}): say where Prometheus is by --prometheus"
        raise Unavailable(problem) from exc
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as exc:
        problem = f"{prometheus.base_url} does not answer as Prometheus does: {exc}"
        raise InvalidArgument("--prometheus", problem) from exc
