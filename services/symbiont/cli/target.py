"""Finds the suite that a command talks to, and opens a client for it."""

import functools
import getpass
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from symbiont.client import Client, Credentials
from symbiont.client.channels import Endpoints
from symbiont.local.home import DEFAULT_HOME, Home

P = ParamSpec("P")

HomeOption = Annotated[
    Path,
    typer.Option("--home", envvar="SYMBIONT_HOME", help="Folder that the suite lives in.", rich_help_panel="Where"),
]
TrainingOption = Annotated[
    str,
    typer.Option(
        "--training-address",
        envvar="SYMBIONT_TRAINING_ADDRESS",
        help="host:port of the training service. Default: that of the suite on the home.",
        show_default=False,
        rich_help_panel="Where",
    ),
]
InferenceOption = Annotated[
    str,
    typer.Option(
        "--inference-address",
        envvar="SYMBIONT_INFERENCE_ADDRESS",
        help="host:port of the inference service. Default: that of the suite on the home.",
        show_default=False,
        rich_help_panel="Where",
    ),
]
TokenizationOption = Annotated[
    str,
    typer.Option(
        "--tokenization-address",
        envvar="SYMBIONT_TOKENIZATION_ADDRESS",
        help="host:port of the tokenization service. Default: that of the suite on the home.",
        show_default=False,
        rich_help_panel="Where",
    ),
]
PrincipalOption = Annotated[
    str,
    typer.Option(
        "--principal",
        envvar="SYMBIONT_PRINCIPAL",
        help="Who you are, for the record of what is decided. Default: your name on this machine.",
        show_default=False,
        rich_help_panel="Where",
    ),
]
ActingOption = Annotated[
    str,
    typer.Option(
        "--as-tenant",
        envvar="SYMBIONT_TENANT",
        help="As operator: act in the place of this tenant, by its names.",
        show_default=False,
        rich_help_panel="Where",
    ),
]
DEFAULT_HOME_PATH = Path(DEFAULT_HOME)


class NothingRunsError(Exception):
    """No address was given, and no suite runs on the home."""


def find_endpoints(home: Path, training: str = "", inference: str = "", tokenization: str = "") -> Endpoints:
    """Returns the addresses given; those that are not come from the suite that runs on the home.

    One address is enough: a command that needs another one says so when it calls it.
    """
    if training or inference or tokenization:
        default = Endpoints()
        return Endpoints(
            training or default.training, inference or default.inference, tokenization or default.tokenization
        )
    record = Home(home.absolute()).running()
    if record is None:
        raise NothingRunsError(f"no suite runs on {home.absolute()}")
    return endpoints_of(record.addresses)


def endpoints_of(addresses: Mapping[str, str]) -> Endpoints:
    """Returns the addresses of a suite that runs here."""
    return Endpoints(addresses["training"], addresses["inference"], addresses["tokenization"])


def own_name() -> str:
    """Returns the name of whoever runs this, as this machine has it; empty where it has none that can be sent."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        return ""
    return name if name.isascii() and name.isprintable() else ""


def with_client(command: Callable[Concatenate[Client, P], None]) -> Callable[..., None]:
    """Makes a typer command of a function: its first parameter becomes a client, and the options say of what.

    A parameter `home` of its own is the folder that the suite lives in.
    """
    takes_home = "home" in inspect.signature(command).parameters

    @functools.wraps(command)
    def run(
        *args: Any,
        home: Path,
        training_address: str,
        inference_address: str,
        tokenization_address: str,
        principal: str,
        as_tenant: str,
        **kwargs: Any,
    ) -> None:
        if takes_home:
            kwargs["home"] = home
        addresses = training_address, inference_address, tokenization_address
        endpoints = find_endpoints(home, *addresses)
        # Of services elsewhere the environment says how they are called.
        credentials = Credentials.find(None if any(addresses) else home)
        with Client(endpoints, principal=principal or own_name(), tenant=as_tenant, credentials=credentials) as client:
            command(client, *args, **kwargs)

    own = [p for p in list(inspect.signature(command).parameters.values())[1:] if p.name != "home"]
    added = [
        _option("home", HomeOption, DEFAULT_HOME_PATH),
        _option("training_address", TrainingOption, ""),
        _option("inference_address", InferenceOption, ""),
        _option("tokenization_address", TokenizationOption, ""),
        _option("principal", PrincipalOption, ""),
        _option("as_tenant", ActingOption, ""),
    ]
    # Typer builds the command line from the signature and the annotations, not from the code.
    run.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in [*own, *added]} | {"return": None}
    del run.__wrapped__
    return run


def _option(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
