"""Greedy text of every family equals transformers' own, alone or mixed; drawn text is a function of the seed."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from support.language_models import greedy, prompts, store_model, tiny_model
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import IntegrityError
from symbiont.engine.generation import generator as generator_module
from symbiont.engine.generation.generator import Generator
from symbiont.engine.generation.torch_model import TorchLanguageModel
from symbiont.engine.generation.types import Finish, Sampling, Task
from symbiont.engine.row import Ids
from symbiont.training.language_models import FAMILIES

LENGTHS = (20, 7, 30, 1, 12, 25, 3, 15, 40)


@pytest.fixture
def store(tmp_path) -> ArtifactStore:
    return ArtifactStore(tmp_path)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch) -> None:
    # So that most prompts go in by several parts.
    monkeypatch.setattr(generator_module, "PREFILL_TOKENS", 16)


def run(
    model: TorchLanguageModel, tasks: Sequence[tuple[Ids, int, Sampling]], at_a_time: int
) -> list[tuple[list[int], Finish]]:
    """Returns ids and finish of each task."""
    generator = Generator(model, max_sequences=at_a_time, max_waiting=len(tasks), token_budget=4096)
    made: list[list[int]] = [[] for _ in tasks]
    ends: list[Finish | Exception | None] = [None] * len(tasks)
    over = [threading.Event() for _ in tasks]

    def sender(index: int):
        def send(piece) -> None:
            if isinstance(piece, Exception):
                ends[index] = piece
            else:
                made[index] += piece.ids
                ends[index] = piece.finish
            if ends[index]:
                over[index].set()

        return send

    for index, (ids, max_tokens, sampling) in enumerate(tasks):
        generator.submit(Task(str(index), ids, max_tokens, sampling, 60, sender(index)))
    for event in over:
        assert event.wait(60)
    generator.close()
    return list(zip(made, ends, strict=True))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_greedy_text_is_that_of_transformers_alone_or_mixed(store, family):
    reference = tiny_model(family)
    model = TorchLanguageModel(store, store_model(store, reference))
    asked = list(zip(prompts(len(LENGTHS)), LENGTHS, strict=True))
    expected = [greedy(reference, ids, count) for ids, count in asked]
    assert len({tuple(row[:3]) for row in expected}) > 2, "the model says the same whatever it is asked"
    for at_a_time in (1, 4) if family in ("llama", "t5") else (4,):
        made = run(model, [(ids, count, Sampling()) for ids, count in asked], at_a_time)
        assert [ids for ids, _ in made] == expected, f"{at_a_time} at a time"
        assert [end for _, end in made] == [Finish.EOS if ids[-1] == 2 else Finish.LENGTH for ids in expected]


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_drawn_text_depends_on_the_seed_and_not_on_neighbours(store, family):
    model = TorchLanguageModel(store, store_model(store, tiny_model(family)))
    drawn = [Sampling(temperature=1.3, top_k=40, top_p=0.95, repetition_penalty=1.2, seed=seed) for seed in range(6)]
    tasks = [(ids, 20, sampling) for ids, sampling in zip(prompts(6), drawn, strict=True)]
    alone = [run(model, [task], 1)[0] for task in tasks]
    assert run(model, tasks, 6) == alone
    assert run(model, tasks[::-1], 3) == alone[::-1]
    ids = tasks[0][0]
    assert len({tuple(run(model, [(ids, 20, s)], 1)[0][0]) for s in drawn}) == 6


def test_an_encoder_is_no_language_model(store):
    fields = {"kind": "base", "format_version": 1, "pooling": "mean", "hidden_size": 8, "max_length": 8}
    with pytest.raises(IntegrityError, match="does not describe a language model"):
        TorchLanguageModel(store, store.put("bases", {"config.json": b"{}"}, fields))


def test_the_facts(store):
    facts = TorchLanguageModel(store, store_model(store, tiny_model(), max_length=100)).facts
    assert (facts.kind, facts.max_length, facts.vocab_size, facts.eos_ids) == ("causal", 100, 97, frozenset({2}))
    assert np.iinfo(np.int32).max > facts.vocab_size
