"""`symbiont capacity`: how many bundles this machine holds, and how much it answers."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated

import typer

from symbiont.cli.target import DEFAULT_HOME_PATH, HomeOption, endpoints_of
from symbiont.cli.up import TritonOption
from symbiont.client import Client, Credentials
from symbiont.common.security.files import CA_VARIABLE, CERTIFICATE_VARIABLE, KEY_VARIABLE
from symbiont.common.security.suite import client_tls
from symbiont.local.home import Home, RunRecord


class Method(StrEnum):
    """What the bundles are."""

    LORA = "lora"
    HOULSBY = "houlsby"


def capacity(
    base: Annotated[
        str,
        typer.Option(
            help="Id of a base, or, where no suite runs, the beginning of its digest. Default: the only one.",
            show_default=False,
        ),
    ] = "",
    method: Annotated[Method, typer.Option(help="What the bundles are.")] = Method.LORA,
    rank: Annotated[int, typer.Option(min=1, max=4096, help="Rank of LoRA, or width of Houlsby's bottlenecks.")] = 8,
    bundles: Annotated[int, typer.Option(min=4, max=100_000, help="How many bundles to load and ask.")] = 64,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens of a request of the offered load.")] = 16,
    p99_ms: Annotated[float, typer.Option(min=0.1, help="What 99 of 100 requests must be answered within.")] = 50.0,
    reserve: Annotated[float, typer.Option(min=0, max=0.9, help="Share of the free memory to leave alone.")] = 0.1,
    seconds: Annotated[float, typer.Option(min=0.1, help="Seconds for each measurement.")] = 4.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    home: HomeOption = DEFAULT_HOME_PATH,
    triton: TritonOption = None,
) -> None:
    """Measures how many bundles fit on this machine, and what it answers within a time, and shows the arithmetic.

    It loads a host of its own, with synthetic bundles, into the Triton that runs on the home, or into one that it
    starts; both are gone afterwards. What else the machine does meanwhile is in the figures.
    """
    place = Home(home.absolute())
    record = place.running()
    options = {
        "artifacts": place.artifact_root,
        "base": _digest(base, place, record),
        "method": method.value,
        "rank": rank,
        "bundles": bundles,
        "tokens": tokens,
        "p99-ms": p99_ms,
        "reserve": reserve,
        "seconds": seconds,
    }
    if record:
        options |= {"triton-address": record.addresses["triton"], "metrics-url": record.metrics_urls["triton"]}
    elif triton:
        options["triton"] = str(triton)
    flags = [f"--{name}={value}" for name, value in options.items()]
    # In a process of its own: this one is to start fast, and what it needs is not the command's.
    command = [sys.executable, "-m", "symbiont.capacity", *flags, *(["--json"] if json else [])]
    raise typer.Exit(_run(command, _certificates(place) if record else {}))


def _certificates(home: Home) -> dict[str, str]:
    """Returns the variables by which a process finds the client of the suite on a home."""
    if (tls := client_tls(home.root)) is None:
        return {}
    return {CA_VARIABLE: str(tls.ca), CERTIFICATE_VARIABLE: str(tls.certificate), KEY_VARIABLE: str(tls.key)}


def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs a command to its end; one that is told to stop by Ctrl-C, as this one is, gets the time to clear up."""
    with subprocess.Popen(command, env={**os.environ, **environment}) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue


def _digest(base: str, home: Home, record: RunRecord | None) -> str:
    if not base or record is None:
        return base
    with Client(endpoints_of(record.addresses), credentials=Credentials.find(home.root)) as client:
        return client.get_base_model(base).digest
