"""The steps of the sampling are those of transformers."""

import numpy as np
import pytest
import torch
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from symbiont.engine.generation.sampling import TokenSampler, choose
from symbiont.engine.generation.types import Sampling

CPU = torch.device("cpu")
PROMPT = np.array([3, 1, 3, 7], np.int32)


@pytest.mark.parametrize("top_k", [0, 1, 5, 200])
@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.01])
@pytest.mark.parametrize("penalty", [1.0, 1.7, 0.5])
def test_scores_are_those_of_transformers(top_k, top_p, penalty):
    steps = LogitsProcessorList()
    if penalty != 1.0:
        steps.append(RepetitionPenaltyLogitsProcessor(penalty))
    steps.append(TemperatureLogitsWarper(0.7))
    if top_k:
        steps.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        steps.append(TopPLogitsWarper(top_p))
    sampler = TokenSampler(Sampling(0.7, top_p, top_k, penalty), PROMPT, 50, CPU)
    for seed in range(8):
        logits = torch.randn(50, generator=torch.Generator().manual_seed(seed)) * 3
        expected = steps(torch.tensor(PROMPT).long()[None], logits[None].double())[0]
        torch.testing.assert_close(sampler.scores(logits), expected, rtol=0, atol=0)


def test_draws_follow_the_probabilities():
    logits = torch.log(torch.tensor([0.5, 0.3, 0.2, 1e-9]))
    sampler = TokenSampler(Sampling(temperature=1.0, seed=5), PROMPT[:0], 4, CPU)
    counts = np.bincount([sampler.choose(logits) for _ in range(4000)], minlength=4) / 4000
    np.testing.assert_allclose(counts, [0.5, 0.3, 0.2, 0], atol=0.03)


def test_what_was_chosen_is_penalised_next():
    sampler = TokenSampler(Sampling(repetition_penalty=10.0), PROMPT, 50, CPU)
    logits = torch.zeros(50)
    logits[[3, 20, 30]] = torch.tensor([9.0, 8.0, 7.0])
    # 3 is of the prompt; 20 is chosen, and then less likely than 30.
    assert [choose(logits[None], [sampler])[0] for _ in range(2)] == [20, 30]


def test_rows_without_sampling_take_the_likeliest():
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    samplers = [TokenSampler(Sampling(seed=n), PROMPT, 50, CPU) for n in range(3)]
    assert choose(logits, samplers) == logits.argmax(-1).tolist()


@pytest.mark.parametrize("sampling", [Sampling(1e-38), Sampling(1e-45), Sampling(1.0, repetition_penalty=1e-38)])
def test_the_smallest_values_take_the_likeliest_and_fail_nobody(sampling):
    logits = torch.randn(2, 50, generator=torch.Generator().manual_seed(1)) * 10
    logits[1, 3] = 40.0
    samplers = [TokenSampler(each, PROMPT, 50, CPU) for each in (Sampling(), sampling)]
    assert choose(logits, samplers) == logits.argmax(-1).tolist()
    assert not samplers[1].scores(logits[1]).isinf().any()


def test_a_row_that_cannot_be_drawn_fails_alone():
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(2))
    logits[1, 5] = torch.nan
    samplers = [TokenSampler(each, PROMPT, 50, CPU) for each in (Sampling(), Sampling(1.0), Sampling(1e-6))]
    first, second, third = choose(logits, samplers)
    assert isinstance(second, ArithmeticError)
    assert [first, third] == logits[[0, 2]].argmax(-1).tolist()
