"""`symbiont models`: what training made, and which version serves."""

from typing import Annotated

import typer

from symbiont.api.training.v1.model_pb2 import Model, ModelAlias
from symbiont.cli import promotion, releases
from symbiont.cli.console import make_console
from symbiont.cli.render import quality, table, when
from symbiont.cli.target import with_client
from symbiont.client import Client
from symbiont.client.names import full_name, short_name, version_name

app = typer.Typer(no_args_is_help=True, help="Models: their versions, and the aliases that callers use.")
releases.add_to(app)
promotion.add_to(app)


@app.command("list")
@with_client
def list_all(client: Client) -> None:
    """Lists the models and what their aliases point at."""
    rows = ((short_name(m.name), m.latest_version, _aliases(m), when(m.create_time)) for m in client.list_models())
    make_console().print(table(["MODEL", ">NEWEST", "ALIASES", "CREATED"], rows))


@app.command()
@with_client
def show(client: Client, model: Annotated[str, typer.Argument(help="Id of the model.")]) -> None:
    """Shows the versions of a model, newest first, and the releases that run."""
    found = client.get_model(model)
    serves: dict[str, list[str]] = {}
    for alias in found.aliases:
        serves.setdefault(alias.model_version.name, []).append(alias.alias)
        if alias.HasField("release"):
            serves.setdefault(alias.release.candidate, []).append(f"candidate for {alias.alias}")
    rows = (
        (
            releases.number_of(v.name),
            ", ".join(serves.get(v.name, [])),
            quality(v.evaluation),
            short_name(v.base_model),
            short_name(v.training_job),
            v.bundle_digest,
            when(v.create_time),
            "learnt rows that were erased" if v.trained_on_erased else "",
        )
        for v in client.list_model_versions(model)
    )
    columns = [">VERSION", "ALIASES", "QUALITY", "BASE", "JOB", "BUNDLE", "CREATED", "NOTE"]
    console = make_console()
    console.print(table(columns, rows, title=found.name))
    for alias in found.aliases:
        if alias.HasField("release"):
            console.print(f"release on {releases.summary(alias.release)}", markup=False)
        if alias.model_version.trained_on_erased:
            console.print(f"{alias.alias} serves a version that learnt rows erased since: train anew, and promote that")


@app.command()
@with_client
def promote(
    client: Client,
    version: Annotated[str, typer.Argument(help="MODEL/versions/NUMBER, or MODEL for its newest version.")],
    alias: Annotated[str, typer.Option(help="Alias to set.")] = "production",
) -> None:
    """Points an alias at a version; callers of the alias get it within moments.

    Example: symbiont models promote intents/versions/2 --alias canary
    """
    if "/versions/" not in version:
        version = version_name(version, client.get_model(version).latest_version)
    model = client.promote(full_name("models", version), alias)
    make_console().print(f"{model.name}: {_aliases(model)}")


def _aliases(model: Model) -> str:
    return ", ".join(_alias(alias) for alias in model.aliases)


def _alias(alias: ModelAlias) -> str:
    text = f"{alias.alias} -> {releases.number_of(alias.model_version.name)}"
    if not alias.HasField("release"):
        return text
    release = alias.release
    how = " + ".join([f"{release.weight} %"] * bool(release.weight) + ["shadow"] * release.shadow) or "0 %"
    return f"{text} (trying {releases.number_of(release.candidate)}: {how})"
