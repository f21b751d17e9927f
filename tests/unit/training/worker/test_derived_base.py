"""A base made of another, in process: it learns from masked tokens, resumes bit-exactly, and gets new tokens."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from support.attempts import HYPER, Run
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.engine import Engine
from symbiont.engine.row import Row
from symbiont.engine.torch_runtime import TorchRuntime
from symbiont.tokenization.derive import derive
from symbiont.tokenization.tokenizer import FastTokenizer
from symbiont.training import types
from symbiont.training.resolving import SPEC, resolve
from symbiont.training.resolving_bases import with_tokenizer
from symbiont.training.store import Store
from symbiont.training.worker.attempt import Attempt
from support.registry import tiny_spec

MASKED_HYPER = {**HYPER, "epochs": 4, "learning_rate": 0.003}


class Deriving(Run):
    """Attempts that make a base."""

    def attempt(self, **changes: Any) -> Attempt:
        asked = tiny_spec(**{"model": None, "derived_base": "bases/own", "hyperparameters": MASKED_HYPER, **changes})
        spec, inputs = resolve(asked, self.registry)
        return Attempt("job-test", spec, with_tokenizer(spec, inputs, self.registry, self.artifacts, SPEC), "")

    def made(self, attempt: Attempt, **how: Any) -> str:
        assert self(attempt, **how) == ""
        return self.reports[-1].base_digest


@pytest.fixture
def run(registry: Store, artifacts: ArtifactStore) -> Deriving:
    return Deriving(registry, artifacts)


@pytest.mark.parametrize("method", [{}, {"lora": {"rank": 4}}, {"masked_tokens": {"whole_words": True}}])
def test_it_learns_and_resumes_bit_for_bit(run: Deriving, method: dict[str, Any]) -> None:
    attempt = run.attempt(**method)
    whole = run.made(attempt)
    (evaluation,) = run.of(types.Evaluation)
    print(evaluation)
    checkpoint = run.until(7, attempt)
    assert run.made(replace(attempt, checkpoint_digest=checkpoint.digest)) == whole
