"""`symbiont models rollback`, `canary`, `releases`, `release`: a version is tried on an alias, and taken back."""

from collections.abc import Iterator
from typing import Annotated

import typer

from symbiont.api.inference.v1.release_pb2 import ReleaseObservation, VersionObservation
from symbiont.api.training.v1.model_pb2 import Release, ReleaseRules, ReleaseState
from symbiont.cli.console import make_console
from symbiont.cli.render import facts, share, table, when
from symbiont.cli.target import with_client
from symbiont.client import Client, NotFoundError, UnavailableError
from symbiont.client.names import alias_of, short_name

AliasArgument = Annotated[str, typer.Argument(metavar="MODEL[@ALIAS]", help="The alias; production by default.")]

app = typer.Typer(no_args_is_help=True, help="The release that runs on an alias: watch it, change it, end it.")


def add_to(models: typer.Typer) -> None:
    """Adds what stands beside `symbiont models promote`."""
    models.command()(rollback)
    models.command()(canary)
    models.command("releases")(list_releases)
    models.add_typer(app, name="release")


@with_client
def rollback(client: Client, model: AliasArgument) -> None:
    """Points an alias back at the version before; callers get it within moments.

    Example: symbiont models rollback intents@production
    """
    alias = client.rollback(model)
    make_console().print(f"{short_name(alias.model)}@{alias.alias} -> {number_of(alias.model_version.name)}")


@with_client
def canary(
    client: Client,
    version: Annotated[str, typer.Argument(help="MODEL/versions/NUMBER to try.")],
    alias: Annotated[str, typer.Option(help="Alias to try it on.")] = "production",
    weight: Annotated[int, typer.Option(help="Percent of the calls that it answers.")] = 0,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Have it compute the other calls too, for comparison alone.")
    ] = False,
    max_error_rate: Annotated[
        float | None, typer.Option(help="How much higher its share of failed calls may be, 0 to 1.")
    ] = None,
    max_latency_ratio: Annotated[
        float | None, typer.Option(help="How many times the alias's version's p99 its own may be.")
    ] = None,
    max_label_shift: Annotated[
        float | None, typer.Option(help="How far its labels may be from the alias's version's, 0 to 1.")
    ] = None,
    min_samples: Annotated[int, typer.Option(help="Calls, or rows, of either version that a judgement needs.")] = 500,
) -> None:
    """Tries a version on an alias; with rules, it is taken back by itself when it breaks one.

    Example: symbiont models canary intents/versions/2 --weight 10 --max-error-rate 0.02
    """
    rules = ReleaseRules(
        max_error_rate_increase=max_error_rate,
        max_p99_latency_ratio=max_latency_ratio,
        max_label_shift=max_label_shift,
        min_samples=min_samples,
    )
    model = version.removeprefix("models/").partition("/")[0]
    release = client.create_release(f"{model}@{alias}", version, weight=weight, shadow=shadow, rules=rules)
    _print(release)
    make_console().print(f"[dim]watch it:[/] symbiont models release show {model}@{alias}")


@with_client
def list_releases(client: Client, model: AliasArgument) -> None:
    """Lists the releases of an alias, or, without one, of a model, newest first."""
    rows = (
        (
            release.name.split("/")[3],
            number_of(release.baseline),
            number_of(release.candidate),
            f"{release.weight} %",
            "yes" if release.shadow else "",
            state_word(release),
            when(release.create_time),
            release.end_reason,
        )
        for release in client.list_releases(model)
    )
    columns = ["ALIAS", ">FROM", ">TO", ">WEIGHT", "SHADOW", "STATE", "BEGAN", "WHY IT ENDED"]
    make_console().print(table(columns, rows))


@app.command()
@with_client
def show(client: Client, model: AliasArgument) -> None:
    """Shows the release that runs, its rules, and what one inference process has seen of it."""
    release = running(client, model)
    console = make_console()
    console.print(facts([("release", summary(release)), ("rules", rules_text(release.rules))]))
    try:
        seen = client.get_release_observation(release.name)
    except (NotFoundError, UnavailableError) as exc:
        console.print(f"nothing seen of it: {exc.message}", style="dim", markup=False)
        return
    console.print(table(["", ">VERSION", ">CALLS", ">FAILED", ">P99", "LABELS"], _observed(seen)))
    console.print(facts(_compared(seen)))


@app.command("weight")
@with_client
def set_weight(
    client: Client,
    model: AliasArgument,
    percent: Annotated[int, typer.Argument(help="Percent of the calls that the candidate answers.")],
) -> None:
    """Changes how many calls the candidate answers; callers that it has, it keeps, when the weight rises.

    Example: symbiont models release weight intents 25
    """
    release = client.update_release(running(client, model).name, weight=percent)
    _print(release)


@app.command()
@with_client
def promote(client: Client, model: AliasArgument) -> None:
    """Points the alias at the candidate, and ends the release."""
    _print(client.promote_release(running(client, model).name))


@app.command()
@with_client
def end(
    client: Client,
    model: AliasArgument,
    reason: Annotated[str, typer.Option(help="Why, for those who read it later.")] = "",
) -> None:
    """Ends the release and leaves the alias where it is."""
    _print(client.end_release(running(client, model).name, reason))


def _print(release: Release) -> None:
    """What people have written stands in it as it is."""
    make_console().print(summary(release), markup=False)


@app.command()
@with_client
def disagreements(client: Client, model: AliasArgument) -> None:
    """Lists rows that the shadow labelled otherwise, by the SHA-256 of their text, newest first."""
    rows = (
        (
            found.input_sha256[:16],
            found.baseline.label,
            f"{found.baseline.probability:.4f}",
            found.candidate.label,
            f"{found.candidate.probability:.4f}",
            when(found.time),
        )
        for found in client.list_disagreements(running(client, model).name)
    )
    columns = ["SHA-256", "ANSWERED", ">PROBABILITY", "SHADOW", ">PROBABILITY", "WHEN"]
    make_console().print(table(columns, rows))


def running(client: Client, model: str) -> Release:
    """Returns the release that runs on an alias; ValueError when none does."""
    alias = alias_of(client.get_model(model.partition("@")[0]), model)
    if not alias.HasField("release"):
        raise ValueError(f"no release runs on {short_name(alias.model)}@{alias.alias}")
    return alias.release


def summary(release: Release) -> str:
    """Returns what a release tries, and where it stands, in one line."""
    _, model, _, alias, *_ = release.name.split("/")
    how = ["shadow"] if release.shadow else []
    how += [f"{release.weight} % of calls"] if release.weight or not release.shadow else []
    ended = f" ({release.end_reason})" if release.end_reason else ""
    versions = f"{number_of(release.baseline)} -> {number_of(release.candidate)}"
    return f"{model}@{alias}: {versions}, {', '.join(how)}, {state_word(release)}{ended}"


def state_word(release: Release) -> str:
    """Returns `rolled back` for RELEASE_STATE_ROLLED_BACK."""
    return ReleaseState.Name(release.state).removeprefix("RELEASE_STATE_").lower().replace("_", " ")


def number_of(version: str) -> str:
    """Returns `2` for `models/intents/versions/2`."""
    return version.rpartition("/")[2]


def rules_text(rules: ReleaseRules) -> str:
    """Returns the rules in one line; empty when there are none."""
    said = []
    if rules.HasField("max_error_rate_increase"):
        said.append(f"error rate at most {rules.max_error_rate_increase:g} higher")
    if rules.HasField("max_p99_latency_ratio"):
        said.append(f"p99 at most {rules.max_p99_latency_ratio:g} times")
    if rules.HasField("max_label_shift"):
        said.append(f"labels at most {rules.max_label_shift:g} away")
    return f"{', '.join(said)}; from {rules.min_samples} of each" if said else ""


def _observed(seen: ReleaseObservation) -> Iterator[tuple[str, str, int, int, str, str]]:
    for name, one in (("alias", seen.baseline), ("candidate", seen.candidate)):
        p99 = f"{1000 * one.p99_seconds:.1f} ms" if one.p99_seconds else ""
        yield name, number_of(one.model_version), one.call_count, one.failed_call_count, p99, _labels(one)


def _labels(one: VersionObservation) -> str:
    rows = sum(label.row_count for label in one.labels)
    return ", ".join(f"{label.label} {share(label.row_count / rows)}" for label in one.labels[:5])


def _compared(seen: ReleaseObservation) -> Iterator[tuple[str, str]]:
    shadow = seen.shadow
    if not seen.candidate_in_use:
        yield "candidate", "not in use: it has not answered a first row, or broke a rule"
    if shadow.row_count:
        apart = share(shadow.disagreement_count / shadow.row_count)
        yield "other label", f"{shadow.disagreement_count} of {shadow.row_count} rows ({apart})"
        yield "mean shift of the best probability", f"{shadow.mean_score_shift:.4f}"
    if shadow.missed_row_count:
        yield "rows without a shadow", str(shadow.missed_row_count)
