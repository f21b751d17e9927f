"""A training in bf16 learns as one in fp32 does, resumes to the same bytes, and is judged and served in fp32."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from support.attempts import HYPER, Run
from support.sampling import few
from symbiont.common.artifacts import ArtifactStore
from symbiont.training import types
from symbiont.training.store import Store
from symbiont.training.worker import precision
from symbiont.training.worker.attempt import Attempt

BF16 = {**HYPER, "precision": "PRECISION_BF16"}


@pytest.mark.parametrize("method", few(["lora", "full", "prefix"], "lora", "full"))
def test_what_is_learnt_holds(registry: Store, artifacts: ArtifactStore, method: str) -> None:
    made = {}
    for name, hyper in (("fp32", HYPER), ("bf16", BF16)):
        run = Run(registry, artifacts)
        digest = run(run.attempt(hyperparameters=hyper, **{method: {}}))
        (evaluation,) = run.of(types.Evaluation)
        made[name] = digest, evaluation.accuracy, evaluation.loss
    assert made["bf16"][0] != made["fp32"][0]
    assert made["bf16"][1] == pytest.approx(made["fp32"][1], abs=0.15)
    assert made["bf16"][2] == pytest.approx(made["fp32"][2], abs=0.1)


def test_a_resumed_training_ends_with_the_same_bytes(registry: Store, artifacts: ArtifactStore) -> None:
    run = Run(registry, artifacts)
    attempt = run.attempt(hyperparameters=BF16, lora={})
    whole = run(attempt)
    checkpoint = Run(registry, artifacts).until(7, attempt)
    again = Run(registry, artifacts)
    assert again(Attempt(attempt.job, attempt.spec, attempt.inputs, checkpoint.digest)) == whole


@pytest.mark.parametrize("taken", ["fp32", "as it comes"])
def test_what_an_adapter_takes_is_rounded_once(taken: str) -> None:
    base = get_peft_model(
        nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), LoraConfig(target_modules=["1"], lora_dropout=0.1)
    )
    if taken == "as it comes":
        precision.keep_inputs(base)
    seen: list[torch.dtype] = []
    dropout = next(module for module in base.modules() if isinstance(module, nn.Dropout))
    dropout.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].dtype))
    with precision.rounded("PRECISION_BF16", "cpu"):
        base(torch.ones(2, 4))
    base(torch.ones(2, 4))
    assert seen == [torch.float32 if taken == "fp32" else torch.bfloat16, torch.float32]


@pytest.mark.parametrize("native", [True, False])
def test_the_log_says_where_it_takes_longer(
    registry: Store, artifacts: ArtifactStore, monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    monkeypatch.setattr("symbiont.training.worker.attempt.is_native", lambda: native)
    run = Run(registry, artifacts)
    run(run.attempt(hyperparameters={**BF16, "epochs": 1}, lora={}))
    assert any("longer than fp32" in line.text for line in run.of(types.LogLine)) is not native


def test_the_machine_is_asked_for_its_instructions(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    told = tmp_path / "cpuinfo"
    monkeypatch.setattr(precision, "_CPU", told)
    assert not precision.is_native()
    told.write_text("flags : avx2 fma avx512_bf16\n")
    assert precision.is_native()
    told.write_text("flags : avx2 fma\n")
    assert not precision.is_native()
