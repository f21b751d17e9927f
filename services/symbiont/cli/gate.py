"""`symbiont datasets validate`, `prepare`, `split`, `suspects`, `annotate`, `import-labels`, `restore`."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from symbiont.api.training.v1 import dataset_pb2 as pb
from symbiont.cli.console import make_console
from symbiont.cli.gate_tables import findings_table, lineage_table, report_tables
from symbiont.cli.render import facts, share, table
from symbiont.cli.target import with_client
from symbiont.client import Client
from symbiont.client.gate import work_stage_word
from symbiont.client.names import full_name, short_name
from symbiont.common.sealing import open_sealer

DatasetArgument = Annotated[str, typer.Argument(help="Id of the dataset.")]
NewArgument = Annotated[str, typer.Argument(help="Id of the new dataset.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Chooses rows; the same one gives the same rows.")]
_WIDTH = 70


class Mode(StrEnum):
    """What stands in the place of personal data."""

    MASK = "mask"
    PSEUDONYMS = "pseudonyms"
    TOKENS = "tokens"


class Sampling(StrEnum):
    """How classes are evened out."""

    DOWN = "down"
    OVER = "over"


class Strategy(StrEnum):
    """Which rows are worth a look."""

    MIXED = "mixed"
    UNCERTAIN = "uncertain"
    SUSPECT = "suspect"
    DIVERSE = "diverse"


class Format(StrEnum):
    """Format of a file for people who label."""

    LABEL_STUDIO = "label-studio"
    JSONL = "jsonl"
    CSV = "csv"


def add_commands(app: typer.Typer) -> None:
    """Adds the commands to `symbiont datasets`."""
    for command in (validate, prepare, split, suspects, annotate):
        app.command()(command)
    app.command("import-labels")(import_labels)
    app.command()(restore)


@with_client
def validate(
    client: Client,
    dataset: DatasetArgument,
    against: Annotated[str, typer.Option(help="Another dataset, for rows and labels that both have.")] = "",
    near: Annotated[float, typer.Option(min=0.5, max=1, help="Similarity from which two texts are near.")] = 0.8,
) -> None:
    """Says what may be wrong with a dataset, and changes nothing.

    Odd texts, languages, equal and near rows, one text with two labels, personal data by kind (counts, never a value),
    how even classes are, what gives labels away, labels that are likely wrong; with --against what both datasets have,
    and labels that mean another one there.

    Example: symbiont datasets validate intents --against intents-test
    """
    settings = pb.ValidationSettings(against=_named(against), near_threshold=near)
    console = make_console()
    with _bar(console) as tell:
        report = client.validate_dataset(dataset, settings, progress=tell)
    for part in report_tables(report):
        console.print(part)


@with_client
def prepare(
    client: Client,
    dataset: DatasetArgument,
    new: NewArgument,
    clean: Annotated[bool, typer.Option("--clean", help="Clean texts: Unicode, HTML, controls, space.")] = False,
    nfkc: Annotated[bool, typer.Option("--nfkc", help="With --clean: drop differences of presentation, too.")] = False,
    language: Annotated[list[str] | None, typer.Option(help="With --clean: keep it; may be repeated.")] = None,
    min_characters: Annotated[int, typer.Option(min=1, help="With --clean: least characters of a text.")] = 1,
    deduplicate: Annotated[bool, typer.Option("--deduplicate", help="Keep the first of equal and near rows.")] = False,
    near: Annotated[
        float | None,
        typer.Option(help="With these two: similarity from which rows are near, 0: equal rows only (default: 0.8)."),
    ] = None,
    against: Annotated[str, typer.Option(help="Remove what this dataset has, too: the test set.")] = "",
    anonymize: Annotated[
        Mode | None, typer.Option(help="Replace personal data by its kind, by a name, or by a token to restore.")
    ] = None,
    key: Annotated[
        str, typer.Option(help="With --anonymize: name of the service's key, for pseudonyms and tokens.")
    ] = "",
    kind: Annotated[
        list[str] | None, typer.Option(help="With --anonymize: only this kind of personal data; may be repeated.")
    ] = None,
    drop_suspects: Annotated[float, typer.Option(min=0, max=0.5, help="Remove most suspect rows, up to a share.")] = 0,
    balance: Annotated[Sampling | None, typer.Option(help="Even out classes.")] = None,
    max_ratio: Annotated[
        float | None, typer.Option(min=1, help="With --balance: largest class over smallest (default: 1).")
    ] = None,
    seed: SeedOption = 0,
) -> None:
    """Makes a dataset of another one; what is asked for is done in the order of the options below.

    The dataset that it is made of stays as it is. The new one says what it was made of and how: the same rows and
    options give the same digest.

    Example: symbiont datasets prepare intents intents-clean --clean --deduplicate --against intents-test
    """
    _goes_with("--anonymize", bool(anonymize), {"--key": key, "--kind": kind})
    _goes_with("--balance", bool(balance), {"--max-ratio": max_ratio is not None})
    _goes_with("--deduplicate or --against", deduplicate or bool(against), {"--near": near is not None})
    transforms: list[pb.Transform] = []
    if clean or nfkc or language or min_characters > 1:
        form = pb.UNICODE_FORM_NFKC if nfkc else pb.UNICODE_FORM_NFC
        asked = pb.CleanTransform(unicode_form=form, languages=language or (), min_characters=min_characters)
        transforms.append(pb.Transform(clean=asked))
    if deduplicate or against:
        repeated = pb.DeduplicateTransform(near_threshold=0.8 if near is None else near, against=_named(against))
        transforms.append(pb.Transform(deduplicate=repeated))
    if anonymize:
        transforms.append(pb.Transform(anonymize=_anonymize(anonymize, key, kind or ())))
    if drop_suspects:
        transforms.append(pb.Transform(drop_suspects=pb.DropSuspectsTransform(max_fraction=drop_suspects, seed=seed)))
    if balance:
        mode = pb.SamplingMode.Value(f"SAMPLING_MODE_{balance.upper()}")
        even = pb.BalanceTransform(sampling=mode, max_ratio=max_ratio or 1.0, seed=seed)
        transforms.append(pb.Transform(balance=even))
    if not transforms:
        raise typer.BadParameter("say what to do: --clean, --deduplicate, --anonymize, --drop-suspects or --balance")
    console = make_console()
    with _bar(console) as tell:
        made = client.prepare_dataset(dataset, new, transforms, progress=tell)
    console.print(facts([("name", made.name), ("rows", f"{made.row_count:,}"), ("digest", made.digest)]))
    console.print()
    console.print(lineage_table(made))
    console.print()
    console.print(findings_table(finding for step in made.transforms for finding in step.findings))


@with_client
def split(
    client: Client,
    dataset: DatasetArgument,
    train: Annotated[str, typer.Argument(help="Id of the new dataset to train on.")],
    test: Annotated[str, typer.Argument(help="Id of the new dataset to test on.")],
    test_fraction: Annotated[float, typer.Option(min=0, max=1, help="Share of the rows to test on.")] = 0.2,
    by_time: Annotated[bool, typer.Option("--by-time", help="Test on the latest rows.")] = False,
    group_field: Annotated[str, typer.Option(help="Business field whose rows stay on one side.")] = "",
    near: Annotated[float, typer.Option(help="Similarity from which near rows stay on one side; 0: any side.")] = 0,
    seed: SeedOption = 0,
) -> None:
    """Cuts a dataset in two; each class has its share on both sides, and rows of one group stay together.

    Example: symbiont datasets split intents intents-train intents-test --near 0.8
    """
    settings = pb.SplitSettings(
        test_fraction=test_fraction, seed=seed, by_time=by_time, group_field=group_field, near_threshold=near
    )
    console = make_console()
    with _bar(console) as tell:
        parts = client.split_dataset(dataset, train, test, settings, progress=tell)
    rows = (
        (short_name(d.name), f"{d.row_count:,}", len(d.label_counts), d.digest[:12]) for d in (parts.train, parts.test)
    )
    console.print(table(["DATASET", ">ROWS", ">LABELS", "DIGEST"], rows))
    if findings := list(parts.train.transforms[0].findings):
        console.print()
        console.print(findings_table(findings))


@with_client
def suspects(
    client: Client,
    dataset: DatasetArgument,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most rows to show.")] = 20,
    seed: SeedOption = 0,
) -> None:
    """Shows the rows whose label is likely wrong, most suspect first, by a cheap model that learned from the others.

    Example: symbiont datasets suspects intents --limit 50
    """
    console = make_console()
    with _bar(console) as tell:
        report = client.validate_dataset(dataset, pb.ValidationSettings(seed=seed), progress=tell)
    shown = report.suspects[:limit]
    chosen = [pb.RowSuggestion(row=suspect.row) for suspect in shown]
    lines = b"".join(client.export_rows(dataset, "jsonl", chosen)).splitlines() if shown else []
    rows = [
        (s.row, s.given, share(s.given_probability), s.suggested, share(s.suggested_probability), _cut(line))
        for s, line in zip(shown, lines, strict=True)
    ]
    console.print(table([">ROW", "LABEL", ">SURE", "RATHER", ">SURE", "TEXT"], rows))
    console.print(f"\n{len(rows)} of {report.suspect_count} suspects", style="dim")


@with_client
def annotate(
    client: Client,
    dataset: DatasetArgument,
    out: Annotated[Path, typer.Argument(dir_okay=False, help="File to write.")],
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Most rows.")] = 100,
    strategy: Annotated[Strategy, typer.Option(help="Which rows are worth it.")] = Strategy.MIXED,
    format: Annotated[Format, typer.Option(help="Format of the file.")] = Format.LABEL_STUDIO,
    learn_from: Annotated[str, typer.Option(help="Dataset with labels, where this one has none.")] = "",
    seed: SeedOption = 0,
) -> None:
    """Writes the rows that are most worth labelling to a file, with what a cheap model holds them for.

    In Label Studio import the file into a project whose interface calls the text `text` and the choices `label`; export
    as JSON or JSON-MIN. A CSV or JSONL file comes back with its column `label` filled in.

    Example: symbiont datasets annotate intents tasks.json --count 200 --strategy uncertain
    """
    settings = pb.SuggestionSettings(
        count=count,
        strategy=pb.SuggestionStrategy.Value(f"SUGGESTION_STRATEGY_{strategy.upper()}"),
        learn_from=_named(learn_from),
        seed=seed,
    )
    console = make_console()
    with _bar(console) as tell:
        chosen = client.suggest_rows(dataset, settings, progress=tell)
    with out.open("wb") as file:
        file.writelines(client.export_rows(dataset, format, chosen))
    console.print(f"{len(chosen)} rows in {out}; bring labels back with: symbiont datasets import-labels", markup=False)


@with_client
def import_labels(
    client: Client,
    dataset: DatasetArgument,
    new: NewArgument,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Label Studio's export, CSV or JSONL.")],
    format: Annotated[Format | None, typer.Option(help="Format (default: by the suffix).", show_default=False)] = None,
    only_labelled: Annotated[bool, typer.Option("--only-labelled", help="Leave out rows without a new label.")] = False,
) -> None:
    """Makes a dataset of another one with the labels of a file; of several people's labels the most frequent counts.

    Example: symbiont datasets import-labels intents intents-labelled export.json
    """
    made = client.import_labels(dataset, new, file, format=format, only_labelled=only_labelled)
    console = make_console()
    console.print(lineage_table(made))
    console.print()
    console.print(findings_table(made.transforms[0].findings))


def restore(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Text with tokens, in any format.")],
    key_file: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="File of the key.")],
    out: Annotated[Path | None, typer.Option(help="File to write (default: to the terminal).")] = None,
) -> None:
    """Puts values back in the place of the tokens that `prepare --anonymize tokens` made; asks no service.

    Example: symbiont datasets restore rows.txt --key-file main.key
    """
    text, count = open_sealer(key_file).unseal(file.read_text(encoding="utf-8"))
    if out:
        out.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    make_console(stderr=True).print(f"{count} tokens restored", style="dim")


def _named(dataset: str) -> str:
    return full_name("datasets", dataset) if dataset else ""


def _goes_with(owner: str, given: bool, parts: Mapping[str, object]) -> None:
    """Refuses options that say how something is done which is not done: they would be of no effect."""
    if not given and (alone := [name for name, value in parts.items() if value]):
        raise typer.BadParameter(f"it goes with {owner}, which is not there", param_hint=alone[0])


def _anonymize(mode: Mode, key: str, kinds: Any) -> pb.AnonymizeTransform:
    known = {name.removeprefix("PII_KIND_"): value for name, value in pb.PiiKind.items() if value}
    words = [kind.upper().replace("-", "_") for kind in kinds]
    if unknown := [word for word in words if word not in known]:
        said = ", ".join(name.lower().replace("_", "-") for name in known)
        raise typer.BadParameter(f"{unknown[0].lower()!r} is no kind of personal data; say one of {said}")
    if mode is not Mode.MASK and not key:
        raise typer.BadParameter(f"{mode} need a key: --key NAME, of a file in the service's folder of keys")
    made = pb.AnonymizeTransform(kinds=[known[word] for word in words])
    if mode is Mode.MASK:
        made.mask.SetInParent()
    else:
        getattr(made, mode).key = key
    return made


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[pb.DatasetWorkProgress], None]]:
    columns = ("[dim]{task.description}[/]", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("asking", total=None)

        def tell(progress: pb.DatasetWorkProgress) -> None:
            word = progress.part or work_stage_word(progress.stage)
            bar.update(task, description=word, completed=progress.rows_done, total=progress.rows_total or None)

        yield tell


def _cut(line: bytes) -> str:
    text = " ".join(str(json.loads(line)["text"]).split())
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
