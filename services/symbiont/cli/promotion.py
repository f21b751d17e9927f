"""`symbiont models gate`, `judge`, `approve`, `decisions`, `passport`, `report`, `reproduce`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf import json_format
from rich.console import Console

from symbiont.api.training.v1.passport_pb2 import ModelPassport
from symbiont.api.training.v1.promotion_pb2 import DecisionKind, PromotionDecision, PromotionPolicy, PromotionRule
from symbiont.cli.console import make_console
from symbiont.cli.render import facts, table, when
from symbiont.cli.target import with_client
from symbiont.client import Client
from symbiont.client.names import short_name, version_name

VersionArgument = Annotated[str, typer.Argument(metavar="VERSION", help="MODEL/versions/NUMBER, or MODEL: its newest.")]
AliasOption = Annotated[str, typer.Option(help="Alias that it is to take over.")]
GateArgument = Annotated[str, typer.Argument(metavar="MODEL[@ALIAS]", help="The alias; production by default.")]
_Body = Mapping[str, float | str | None]
# What a digest is shown by.
_SHORT = 12


def add_to(models: typer.Typer) -> None:
    """Adds what stands beside `symbiont models promote`."""
    for command in (gate, judge, approve, decisions, passport, report, reproduce):
        models.command()(command)


@with_client
def gate(
    client: Client,
    model: GateArgument,
    not_worse: Annotated[float | None, typer.Option(help="The metric falls by no more than this, surely.")] = None,
    gain: Annotated[float | None, typer.Option(help="The metric rises by at least this, surely; 0: not worse.")] = None,
    floor: Annotated[list[str] | None, typer.Option(help="METRIC=BOUND, or a bound alone; may be repeated.")] = None,
    slice_floor: Annotated[float | None, typer.Option(help="Bound that every value of a slice must keep.")] = None,
    slice_worse: Annotated[float | None, typer.Option(help="On no value of a slice a greater fall than this.")] = None,
    class_worse: Annotated[float | None, typer.Option(help="The recall of no class falls by more than this.")] = None,
    max_ece: Annotated[float | None, typer.Option(help="Largest expected calibration error, 0 to 1.")] = None,
    max_p99_ms: Annotated[float | None, typer.Option(help="Most milliseconds of 99 in 100 answers of one row.")] = None,
    metric: Annotated[str, typer.Option(help="What falls and rises; by default what stands for the task.")] = "",
    approvals: Annotated[
        int | None, typer.Option(help="People beside the one who promotes who must approve (default: none).")
    ] = None,
    dataset: Annotated[str, typer.Option(help="Rows to judge by. Default: those held out in training.")] = "",
    opened: Annotated[bool, typer.Option("--open", help="Remove the gate.")] = False,
) -> None:
    """Shows the gate of an alias, or sets it when there are options.

    The service then points the alias only at versions that have passed: `symbiont models judge`, and where people must
    approve, `symbiont models approve`. `rollback` is never kept from going back.

    Example: symbiont models gate intents --not-worse 0.01 --slice-worse 0.03 --class-worse 0.05 --approvals 1
    """
    given: dict[str, _Body] = {
        "not_worse": {"margin": not_worse, "metric": metric},
        "minimum_gain": {"gain": gain, "metric": metric},
        "slice_floor": {"value": slice_floor, "metric": metric},
        "no_slice_worse": {"by": slice_worse, "metric": metric},
        "no_class_worse": {"by": class_worse},
        "calibration_limit": {"value": max_ece},
        "latency_limit": {"p99_ms": max_p99_ms},
    }
    rules = [_rule(kind, body) for kind, body in given.items() if next(iter(body.values())) is not None]
    rules += [_floor(text, metric) for text in floor or ()]
    asked = bool(rules or approvals is not None or dataset)
    if approvals == 0 and not rules:
        raise typer.BadParameter("without a rule that is no gate: --open removes it", param_hint="--approvals")
    if opened and (asked or metric):
        raise typer.BadParameter("it removes the gate: give no rule beside it", param_hint="--open")
    if metric and not any(body.get("metric") for body in map(_body_of, rules)):
        raise typer.BadParameter("it is that of rules: say which, as --not-worse 0.01", param_hint="--metric")
    if asked or opened:
        policy = client.set_promotion_policy(model, rules, approvals=approvals or 0, evaluation_dataset=dataset)
    else:
        policy = client.get_promotion_policy(model)
    make_console().print(_gate_of(policy))


def _rule(kind: str, body: _Body) -> PromotionRule:
    return json_format.ParseDict({kind: {name: value for name, value in body.items() if value != ""}}, PromotionRule())


def _floor(text: str, usual: str) -> PromotionRule:
    metric, _, bound = text.rpartition("=")
    try:
        return _rule("floor", {"value": float(bound), "metric": metric or usual})
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not METRIC=BOUND, such as macro_f1=0.8") from None


def _gate_of(policy: PromotionPolicy) -> object:
    name = short_name(policy.alias).replace("/aliases/", "@")
    if not policy.rules and not policy.approvals:
        return f"{name} has no gate: every version may be promoted"
    rows = [(str(rule.WhichOneof("rule")), _body(rule)) for rule in policy.rules]
    if policy.approvals:
        rows.append(("approvals", f"{policy.approvals} beside the one who promotes"))
    judged_by = short_name(policy.evaluation_dataset) or "rows held out in the candidate's training"
    by = f" by {policy.principal}" if policy.principal else ""
    title = f"{name}, judged by {judged_by}; set{by} {when(policy.update_time)}"
    return table(["RULE", "BOUND"], rows, title=title)


def _body(rule: PromotionRule) -> str:
    return ", ".join(f"{name} {_plain(value)}" for name, value in _body_of(rule).items())


def _body_of(rule: PromotionRule) -> dict[str, Any]:
    return json_format.MessageToDict(getattr(rule, rule.WhichOneof("rule") or ""), preserving_proto_field_name=True)


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else ", ".join(value) if isinstance(value, list) else str(value)


@with_client
def judge(client: Client, version: VersionArgument, alias: AliasOption = "production") -> None:
    """Judges a version against the one that serves, on the same rows, by the gate of the alias.

    The exit status is 1 when it has not passed. `symbiont models report NAME` with the name of the decision shows why.

    Example: symbiont models judge intents/versions/4
    """
    console = make_console()
    with console.status("judging") as status:
        decision = client.judge(
            _whole(client, version), alias, progress=lambda stage: status.update(f"judging: {stage}")
        )
    show_decision(console, decision)
    if not decision.passed:
        raise typer.Exit(1)


def show_decision(console: Console, decision: PromotionDecision) -> None:
    """Prints a judgement: every rule with what it found."""
    rows = [("kept" if f.passed else "broken", f.rule, f.text) for f in decision.findings]
    against = short_name(decision.incumbent) or "nothing that serves"
    verdict = "passed" if decision.passed else "not passed"
    title = f"{short_name(decision.model_version)} against {against}, {decision.row_count} rows: {verdict}"
    console.print(table(["", "RULE", "FOUND"], rows, title=title) if rows else title)
    if decision.seen_by_incumbent:
        console.print(f"the version that serves had learnt from {decision.seen_by_incumbent} of these rows")
    console.print(f"report: symbiont models report {short_name(decision.name)}")


@with_client
def approve(
    client: Client,
    version: VersionArgument,
    alias: AliasOption = "production",
    comment: Annotated[str, typer.Option(help="For those who read it later.")] = "",
) -> None:
    """Approves a version that has passed, in your name (--principal, or SYMBIONT_PRINCIPAL).

    Whoever promotes it must be somebody else.

    Example: symbiont models approve intents/versions/4 --comment "looked at the hardest rows" --principal ana
    """
    decision = client.approve(_whole(client, version), alias, comment)
    said = f"{decision.principal} approves {short_name(decision.model_version)} for {alias}"
    make_console().print(said, markup=False)


@with_client
def decisions(client: Client, model: GateArgument) -> None:
    """Lists what was decided on an alias, newest first; MODEL@- for all aliases of a model."""
    rows = (
        (
            decision.name.rpartition("/")[2],
            DecisionKind.Name(decision.kind).removeprefix("DECISION_KIND_").lower().replace("_", " "),
            _number(decision.model_version),
            _number(decision.incumbent),
            {True: "yes", False: "no"}[decision.passed] if decision.findings or decision.passed else "",
            decision.principal,
            decision.comment or "; ".join(f.text for f in decision.findings if not f.passed),
            when(decision.time),
        )
        for decision in client.list_promotion_decisions(model)
    )
    columns = [">NUMBER", "WHAT", ">VERSION", ">INSTEAD OF", "PASSED", "WHO", "WHY", "WHEN"]
    make_console().print(table(columns, rows))


@with_client
def passport(
    client: Client,
    version: VersionArgument,
    json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Shows everything that a version came out of: base, rows and how they were made, code, machine, decisions.

    Example: symbiont models passport intents/versions/4 --json > passport.json
    """
    found = client.get_model_passport(_whole(client, version))
    if json:
        typer.echo(json_format.MessageToJson(found, preserving_proto_field_name=True, ensure_ascii=False))
    else:
        print_passport(make_console(), found)


def print_passport(console: Console, found: ModelPassport) -> None:
    """Prints what a version came out of, in short."""
    version, machine = found.model_version, found.environment
    console.print(
        facts(
            [
                ("version", short_name(version.name)),
                ("bundle", version.bundle_digest),
                ("job", short_name(version.training_job)),
                ("made", when(version.create_time)),
                ("code", f"symbiont {machine.code_version}, {machine.code_digest[:_SHORT]}"),
                ("packages", f"{len(machine.packages)}, {machine.lock_digest[:_SHORT]}"),
                ("machine", f"{machine.processor}, {machine.threads} of {machine.cores} cores"),
                ("seed", str(found.spec.hyperparameters.seed)),
            ]
        )
    )
    bases = [("base", short_name(b.name), b.digest[:_SHORT], _entries(b.entries)) for b in found.bases]
    rows = [
        (
            "rows, " + _role(d.role),
            ", ".join(map(short_name, d.names)),
            d.digest[:_SHORT],
            f"{d.row_count} rows" + "".join(f"; {_kind(step)}" for step in d.transforms),
        )
        for d in found.datasets
    ]
    console.print(table(["WHAT", "NAME", "DIGEST", ""], [*bases, *rows]))
    for made in found.reproductions:
        same = "the same bundle" if made.same_bundle else "the same weights" if made.same_weights else "other weights"
        console.print(f"made again by {short_name(made.job)}: {same}")
    for decision in found.decisions:
        what = DecisionKind.Name(decision.kind).removeprefix("DECISION_KIND_").lower().replace("_", " ")
        said = f"{when(decision.time)} {what} {decision.principal} {decision.comment}".rstrip()
        console.print(said, markup=False)


def _entries(entries: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {entries[name]}" for name in ("architecture", "license", "provider") if name in entries)


def _role(role: int) -> str:
    return {1: "learnt from", 2: "judged by", 3: "made into another"}.get(role, "")


def _kind(step: str) -> str:
    found = re.match(r'\{"kind": "([^"]*)"', step)
    return found.group(1) if found else step


@with_client
def report(
    client: Client,
    name: Annotated[str, typer.Argument(help="MODEL/versions/NUMBER, or the name of a judgement.")],
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("report.html"),
    language: Annotated[str, typer.Option(help="en or zh.")] = "en",
    texts: Annotated[bool, typer.Option("--texts", help="Show the texts of the hardest rows.")] = False,
    json: Annotated[bool, typer.Option("--json", help="All figures as JSON, in place of the page.")] = False,
) -> None:
    """Writes the report of a version, or of a judgement, as a page with pictures that needs nothing else.

    Example: symbiont models report intents/versions/4 --language zh --out intents.html
    """
    name = name if "/" in name else _whole(client, name)
    found = client.get_evaluation_report(name, language=language, with_texts=texts, json=json)
    out.write_bytes(found.content)
    make_console().print(f"written to {out}")


@with_client
def reproduce(client: Client, version: VersionArgument) -> None:
    """Has a version made again from the same bytes, and says whether the same comes out.

    The job makes no version. On the same kind of machine the whole bundle is the same, byte for byte.

    Example: symbiont models reproduce intents/versions/4
    """
    console = make_console()
    job = client.reproduce(_whole(client, version))
    console.print(f"{job.name} makes {short_name(job.reproduction.model_version)} again")
    with console.status("training"):
        for _ in client.watch_training_job(job.name):
            pass
    made = client.get_training_job(job.name)
    if not made.reproduction.bundle_digest:
        console.print(f"it did not end: {made.failure.message or 'cancelled'}", markup=False)
        raise typer.Exit(1)
    if made.reproduction.same_bundle:
        console.print(f"the same bundle, byte for byte: {made.reproduction.bundle_digest}")
        return
    console.print("the same weights in another bundle" if made.reproduction.same_weights else "other weights")
    raise typer.Exit(1)


def _whole(client: Client, version: str) -> str:
    """Returns the name of a version, of a model alone that of its newest."""
    return version if "/versions/" in version else version_name(version, client.get_model(version).latest_version)


def _number(name: str) -> str:
    return name.rpartition("/")[2]
