from pathlib import Path

import pytest

from symbiont.solutions.loading import Located, load_recipe

RECIPE = """\
solution: reviews
title: Reviews
summary: Says whether a review is good.
language: mixed
data:
  train: [{file: train.csv}]
  test: [{file: test.csv}]
  label:
    column: label
    map: {good: good, bad: bad}
  slices: [language]
"""
ROWS = [
    ("the bank was great", "good", "en"),
    ("糟糕", "bad", "zh"),
    ("很好", "good", "zh"),
    ("an awful card", "bad", "en"),
]


class Solution:
    """A folder with a recipe and its raw files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "solution.yaml"
        self.recipe(RECIPE)
        for name in ("train", "test"):
            self.table(name, ROWS)

    def recipe(self, text: str) -> None:
        self.path.write_text(text, encoding="utf-8")

    def change(self, old: str, new: str) -> None:
        text = self.path.read_text(encoding="utf-8")
        assert old in text
        self.recipe(text.replace(old, new))

    def table(self, name: str, rows: list[tuple[str, str, str]]) -> None:
        lines = ["text,label,language", *(",".join(row) for row in rows)]
        (self.folder / f"{name}.csv").write_text("\n".join(lines), encoding="utf-8")

    def load(self) -> Located:
        return load_recipe(self.path)


@pytest.fixture
def solution(tmp_path: Path) -> Solution:
    return Solution(tmp_path)
