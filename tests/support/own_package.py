"""A customer's package of torch modules, installed into a folder as pip would: code, and its entry points."""

from pathlib import Path

# `crossed` has all that is not plain: attention, a norm with a state of its own, dropout, and a width of its choice.
CODE = """
import torch
from torch import nn


class Crossed(nn.Module):
    def __init__(self, width, size=6, parts=4):
        super().__init__()
        self.narrow = nn.Linear(width, 4 * parts)
        self.norm = nn.BatchNorm1d(4 * parts)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.dropout = nn.Dropout(0.2)
        self.out = nn.Linear(4 * parts, size)
        self.parts = parts

    def forward(self, rows):
        parts = self.norm(self.narrow(rows)).view(rows.shape[0], self.parts, 4)
        parts = parts + self.attention(parts, parts, parts, need_weights=False)[0]
        return self.dropout(nn.functional.gelu(self.out(parts.flatten(1))))


class Mixing(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.out = nn.Linear(width, 3)

    def forward(self, rows):
        return self.out(rows - rows.mean(0))


class Branching(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.out = nn.Linear(width, 3)

    def forward(self, rows):
        return self.out(rows) if rows.sum() > 0 else self.out(-rows)


class Deep(nn.Module):
    def __init__(self, width):
        super().__init__()

    def forward(self, rows):
        return rows[:, None, :]


def picky(width, mode):
    if mode != "right":
        raise ValueError(f"there is no mode {mode!r}")
    return nn.Linear(width, 5)


def nothing(width):
    return width
"""
NAMES = {
    "crossed": "Crossed",
    "mixing": "Mixing",
    "branching": "Branching",
    "deep": "Deep",
    "picky": "picky",
    "nothing": "nothing",
    "gone": "NotThere",
}


def install(folder: Path) -> Path:
    """Installs it; whoever has the folder on its path has the modules."""
    info = folder / "customer_layers-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "customer_layers.py").write_text(CODE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: customer-layers\nVersion: 1.0\n")
    points = [f"{name} = customer_layers:{code}" for name, code in NAMES.items()]
    (info / "entry_points.txt").write_text("\n".join(["[symbiont.modules]", *points, ""]))
    return folder
