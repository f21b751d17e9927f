"""What torch computes in; its answers in fp32 are tested with the engine."""

import numpy as np
import pytest
import torch

from support.bundles import random_rows
from symbiont.engine.engine import Engine
from symbiont.engine.runtime import TOLERANCE
from symbiont.engine.torch_runtime import TorchRuntime, _arithmetic


def test_bf16_is_near_fp32_for_bundles_of_every_kind(world):
    low = TorchRuntime(world.store, world.base, precision="bf16")
    rows = [world.row(ids, bundle, seed) for seed, ids in enumerate(random_rows(2)) for bundle in ["", *world.bundles]]
    answers = Engine(low, world.store).infer(rows)
    exact = Engine(world.runtime, world.store).infer(rows)
    assert low.tolerance == TOLERANCE["bf16"]
    # Random weights are rounded worse than trained ones: the golden rows of these bundles were within the tolerance.
    errors = [np.abs(a - e).max() / max(1, np.abs(e).max()) for a, e in zip(answers, exact, strict=True)]
    assert 1e-4 < np.median(errors) < TOLERANCE["bf16"]
    assert max(errors) < 2 * TOLERANCE["bf16"]
    assert all(answer.dtype == np.float32 for answer in answers)


@pytest.mark.parametrize(
    ("precision", "device", "has_bf16", "expected"),
    [
        ("auto", "cpu", True, "fp32"),
        ("bf16", "cpu", True, "bf16"),
        ("fp32", "cuda", True, "fp32"),
        ("auto", "cuda", True, "bf16"),
        ("auto", "cuda", False, "fp32"),
    ],
)
def test_auto_is_bf16_on_a_gpu_that_has_it(monkeypatch, precision, device, has_bf16, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has_bf16)
    assert _arithmetic(precision, torch.device(device)) == expected
