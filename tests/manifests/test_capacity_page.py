"""deploy/CAPACITY.md: what it says is computed comes out again, and what it says of the manifests stands in them."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "deploy/CAPACITY.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
FIGURES = {row[0].strip("`"): float(row[1]) for row in ROWS if len(row) == 5 and re.fullmatch(r"`\w+`", row[0])}
RATES = (100, 10_000, 1_000_000)
# Some values and formulas are used by others.
BUNDLE = {"bundle": 297_992}
KINDS = {"measured", "assumed", "computed"}
COMPUTED = [
    (row[0], row[1].strip("`"), rate, value)
    for row in ROWS
    if len(row) in (3, 5) and re.fullmatch(r"`[^`]+`", row[1])
    for rate, value in zip(RATES if len(row) == 5 else (0,), row[2:], strict=True)
]


def computed(formula: str, rate: int) -> float:
    """What a formula of the page comes to; it may use arithmetic, the figures and the rate."""
    names = {"ceil": math.ceil, "floor": math.floor, "round": round, "rate": rate, **FIGURES, **BUNDLE}
    return float(eval(formula, {"__builtins__": {}}, names))


def test_every_figure_says_how_it_is_known() -> None:
    rows = [row for row in ROWS if row[0].strip("`") in FIGURES]
    assert len(rows) > 20
    assert {row[3] for row in rows} <= KINDS
    assert all(row[4] for row in rows)


@pytest.mark.parametrize(("what", "formula", "rate", "value"), COMPUTED)
def test_what_is_computed_comes_out_again(what: str, formula: str, rate: int, value: str) -> None:
    assert computed(formula, rate) == float(value), what


def test_there_is_enough_to_compute() -> None:
    assert len(COMPUTED) >= 30
    used = {name for _, formula, _, _ in COMPUTED for name in re.findall(r"[a-z_]{2,}", formula)}
    assert {"path_rows", "gpu_part", "busy", "bundle"} <= used


def test_sums_in_the_text_are_those_of_the_tables() -> None:
    (hosts,) = (value for _, formula, rate, value in COMPUTED if "host_many" in formula and rate == RATES[-1])
    assert f"{int(hosts):,} cores for hosts" in PAGE
    of = {formula: value for _, formula, rate, value in COMPUTED if rate == RATES[-1]}
    tritons = next(value for formula, value in of.items() if "path_rows" in formula)
    gpus = next(value for formula, value in of.items() if "gpu_tflops" in formula)
    processes = next(value for formula, value in of.items() if "inference_many" in formula)
    assert f"{tritons} Tritons where {gpus} GPUs" in " ".join(PAGE.split())
    assert f"{processes} times {tritons} at a million" in " ".join(PAGE.split())


def test_a_bundle_takes_what_the_code_says() -> None:
    (value,) = (value for what, _, _, value in COMPUTED if what == "bytes of a bundle")
    assert int(value) == BUNDLE["bundle"]


@pytest.mark.parametrize("part", ["tokenization", "inference", "training", "triton"])
def test_requests_and_limits_are_those_of_the_manifests(
    part: str, render: Callable[[Path], list[dict[str, Any]]]
) -> None:
    (row,) = (row for row in ROWS if len(row) == 4 and row[0].lower() == part)
    documents = render(ROOT / "k8s/base")
    (workload,) = (d for d in documents if d["metadata"]["name"] == part and d["kind"] in ("Deployment", "StatefulSet"))
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    asked, most = container["resources"]["requests"], container["resources"]["limits"]
    cores = float(asked["cpu"].removesuffix("m")) / (1000 if asked["cpu"].endswith("m") else 1)
    memory = asked["memory"].replace("Mi", " MiB").replace("Gi", " GiB")
    assert row[1] == f"{cores:g} cores, {memory}"
    assert row[2] == most["memory"].replace("Gi", " GiB")
