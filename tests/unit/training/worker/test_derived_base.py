"""A base made of another, in process: it learns from masked tokens, resumes bit-exactly, and gets new tokens."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForMaskedLM

from support.attempts import HYPER, Run
from support.registry import tiny_spec, upload
from support.sampling import few
from support.tiny import csv_of, labelled_rows, save_base
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import InvalidArgument, NotFound
from symbiont.engine.engine import Engine
from symbiont.engine.openvino_runtime import OpenVinoRuntime
from symbiont.engine.row import Row
from symbiont.engine.torch_runtime import TorchRuntime
from symbiont.tokenization.derive import derive
from symbiont.tokenization.tokenizer import FastTokenizer
from symbiont.training import bases, types
from symbiont.training.resolving import SPEC, resolve
from symbiont.training.resolving_bases import with_tokenizer
from symbiont.training.store import Store
from symbiont.training.worker.attempt import Attempt
from symbiont.training.worker.commands import Command
from symbiont.training.worker.masked_network import add_terms, build_masked_network, pad_masked
from symbiont.training.worker.masking import SKIP, MaskedText
from symbiont.training.worker.terms import Term

MASKED = {**HYPER, "epochs": 4, "learning_rate": 0.003}
# The last has no piece that the parent knows.
TERMS = ["bancassurance", "不良贷款", "goodbank", "Ωδ"]
# Of the tiny tokenizer.
SIZE = 144


class Deriving(Run):
    """Attempts that make a base."""

    def attempt(self, **changes: Any) -> Attempt:
        asked = tiny_spec(**{"model": None, "derived_base": "bases/own", "hyperparameters": MASKED, **changes})
        spec, inputs = resolve(asked, self.registry)
        return Attempt("job-test", spec, with_tokenizer(spec, inputs, self.registry, self.artifacts, SPEC), "")

    def made(self, attempt: Attempt) -> types.Done:
        assert self(attempt) == ""
        done = self.reports[-1]
        assert isinstance(done, types.Done)
        return done

    def evaluation(self) -> dict[str, float]:
        (found,) = self.of(types.Evaluation)
        return dict(found.metrics)

    def weights(self, digest: str) -> dict[str, torch.Tensor]:
        return load_file(self.artifacts.path("bases", digest) / "model.safetensors")


@pytest.fixture(scope="module")
def fitting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base with an embedding for every token of its tokenizer, and no more."""
    return save_base(tmp_path_factory.mktemp("fitting"), vocab_size=SIZE)


@pytest.fixture
def run(store: Store, artifacts: ArtifactStore, fitting: Path) -> Deriving:
    store.add_base(bases.register(artifacts, "tiny", types.Source("folder", str(fitting)), "", ""))
    store.add_dataset(upload(artifacts, csv_of(labelled_rows(40))))
    return Deriving(store, artifacts)


@pytest.fixture
def terms(run: Deriving) -> str:
    """Digest of a tokenizer that is derived of the base's, and called `law`."""
    return derived_of(run.artifacts, run.registry.base("tiny").tokenizer_digest, TERMS, "law")


def derived_of(artifacts: ArtifactStore, parent: str, terms: list[str], identifier: str) -> str:
    definition = (artifacts.path("tokenizers", parent) / "tokenizer.json").read_bytes()
    made = derive(FastTokenizer(parent, definition, 64), definition, terms)
    fields = {"kind": "tokenizer", "format_version": 1, "max_tokens": 64, "parent": parent}
    digest = artifacts.put("tokenizers", {"tokenizer.json": made.definition}, fields)
    artifacts.tag("tokenizers", identifier, digest)
    return digest


WAYS: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": {"lora": {"rank": 4}},
    "whole-words": {"masked_tokens": {"whole_words": True}},
}


@pytest.mark.parametrize("name", few(WAYS, "lora", "whole-words"))
def test_it_learns_and_a_resumed_training_gives_the_same_base_bit_for_bit(run: Deriving, name: str) -> None:
    way = WAYS[name]
    attempt = run.attempt(**way)
    graphs = set(run.artifacts.list("graphs"))
    whole = run.made(attempt)
    figures = run.evaluation()
    assert figures["loss"] < figures["loss_before"]
    assert figures["perplexity"] == pytest.approx(np.exp(figures["loss"]))
    assert figures["masked_tokens"] >= 8
    first = next(report for report in run.of(types.Metrics) if report.step == 0)
    assert dict(first.values)["evaluation_loss"] == figures["loss_before"]
    assert run.artifacts.manifest("bases", whole.base_digest)["parent"] == attempt.inputs.base_digest
    # The graph that hosts on CPU compute is there already.
    (graph,) = set(run.artifacts.list("graphs")) - graphs
    assert run.artifacts.manifest("graphs", graph)["facts"]["digest"] == whole.base_digest
    checkpoint = run.until(7, attempt)
    assert run.made(replace(attempt, checkpoint_digest=checkpoint.digest)) == whole
    assert run.made(run.attempt(**way, hyperparameters={**MASKED, "seed": 1})) != whole


def test_parts_of_a_step_mask_what_the_step_does(run: Deriving, tmp_path: Path) -> None:
    quiet = save_base(tmp_path / "quiet")
    config = json.loads((quiet / "config.json").read_text())
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (quiet / "config.json").write_text(json.dumps({**config, **still}))
    run.registry.add_base(bases.register(run.artifacts, "quiet", types.Source("folder", str(quiet)), "", ""))
    attempt = run.attempt(base_model="bases/quiet")
    whole, parts = (run.weights(run.made(replace(attempt, micro_batches=n)).base_digest) for n in (1, 3))
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, rtol=0, atol=1e-4)


def test_what_lora_learnt_is_in_the_weights(run: Deriving) -> None:
    attempt = run.attempt(lora={"rank": 4})
    made, parent = run.weights(run.made(attempt).base_digest), run.weights(attempt.inputs.base_digest)
    changed = {name for name, tensor in made.items() if not torch.equal(tensor, parent[name])}
    assert changed == {n for n in made if n.endswith(("query.weight", "value.weight"))}


def test_the_best_is_stored_when_it_is_to_finish(run: Deriving) -> None:
    hyper = {**MASKED, "epochs": 40, "learning_rate": 0.1, "evaluate_checkpoints": True, "checkpoint_interval": 2}
    attempt, steps = run.attempt(hyperparameters=hyper), iter(range(1, 1000))
    assert run(attempt, lambda: Command.FINISH if next(steps) == 11 else Command.GO) == ""
    best = min(run.of(types.CheckpointSaved), key=lambda saved: saved.evaluation_loss)
    assert run.evaluation()["loss"] == pytest.approx(best.evaluation_loss)


def test_without_training_old_tokens_give_what_they_gave(run: Deriving, terms: str) -> None:
    attempt = run.attempt(masked_tokens={"tokenizer": "tokenizers/law"}, hyperparameters={"epochs": 0})
    assert (attempt.inputs.tokenizer_digest, attempt.inputs.base_tokenizer_digest != terms) == (terms, True)
    done = run.made(attempt)
    parent, made = run.weights(attempt.inputs.base_digest), run.weights(done.base_digest)
    config = AutoConfig.from_pretrained(run.artifacts.path("bases", done.base_digest))
    assert config.vocab_size == SIZE + len(TERMS)
    assert done.parameter_count == sum(t.numel() for t in made.values())
    # The new rows are the means of their pieces, by the parent's tokenizer; where it knows none, that of all.
    name = "embeddings.word_embeddings.weight"
    old, new = (
        Tokenizer.from_file(str(run.artifacts.path("tokenizers", digest) / "tokenizer.json"))
        for digest in (attempt.inputs.base_tokenizer_digest, terms)
    )
    for term in TERMS:
        pieces = [i for i in old.encode(term, add_special_tokens=False).ids if i != old.token_to_id("[UNK]")]
        expected = parent[name][pieces].mean(0) if pieces else parent[name].mean(0)
        torch.testing.assert_close(made[name][new.token_to_id(term)], expected, rtol=0, atol=1e-6)
    unread = [t for t in TERMS if old.encode(t, add_special_tokens=False).ids == [old.token_to_id("[UNK]")]]
    assert 0 < len(unread) < len(TERMS)
    texts = ["the loan was repaid on time", "银行很满意", "what is the interest rate of this card today"]
    before, after = (
        [
            np.stack(Engine(kind(run.artifacts, digest), run.artifacts).infer(rows))
            for kind in (TorchRuntime, OpenVinoRuntime)
        ]
        for digest, rows in (
            (attempt.inputs.base_digest, rows_of(old, texts)),
            (done.base_digest, rows_of(new, texts)),
        )
    )
    for plain, derived in zip(before, after, strict=True):
        np.testing.assert_allclose(derived, plain, rtol=0, atol=1e-5)


def rows_of(tokenizer: Tokenizer, texts: list[str]) -> list[Row]:
    return [Row(np.array(tokenizer.encode(text).ids, np.int32), "", 0, np.zeros(0, np.float32)) for text in texts]


def test_new_tokens_are_learnt_with_the_rest_and_a_base_may_get_more(run: Deriving, terms: str) -> None:
    attempt = run.attempt(masked_tokens={"tokenizer": f"tokenizers/{terms}"})
    done = run.made(attempt)
    base = replace(run.registry.base("tiny"), id="own", digest=done.base_digest, tokenizer_digest=terms)
    run.registry.add_base(base)
    more = derived_of(run.artifacts, terms, ["subrogation"], "more")
    changes: dict[str, Any] = {"base_model": "bases/own", "masked_tokens": {"tokenizer": "tokenizers/more"}}
    again = run.attempt(**changes, derived_base="bases/next", hyperparameters={"epochs": 0})
    assert (again.inputs.tokenizer_digest, again.inputs.base_tokenizer_digest) == (more, terms)
    made = run.weights(run.made(again).base_digest)["embeddings.word_embeddings.weight"]
    assert torch.equal(made[: SIZE + 4], run.weights(done.base_digest)["embeddings.word_embeddings.weight"])
    # A tokenizer two steps away will do for the first base as well.
    far = run.attempt(masked_tokens={"tokenizer": "tokenizers/more"}, hyperparameters={"epochs": 0})
    assert run.weights(run.made(far).base_digest)["embeddings.word_embeddings.weight"].shape[0] == SIZE + 5


def test_only_a_tokenizer_that_is_derived_of_the_bases_is_taken(run: Deriving, terms: str) -> None:
    registry, artifacts = run.registry, run.artifacts
    own = registry.base("tiny").tokenizer_digest
    definition = json.loads((artifacts.path("tokenizers", own) / "tokenizer.json").read_bytes())
    fields = {"kind": "tokenizer", "format_version": 1, "max_tokens": 64}
    strange = artifacts.put("tokenizers", {"tokenizer.json": json.dumps(definition).encode()}, fields)
    vocabulary = definition["model"]["vocab"]
    vocabulary["the"], vocabulary["bank"] = vocabulary["bank"], vocabulary["the"]
    moved = artifacts.put("tokenizers", {"tokenizer.json": json.dumps(definition).encode()}, {**fields, "parent": own})
    for name, problem in ((strange, "is not derived from the tokenizer of bases/tiny"), (moved, "has another id")):
        with pytest.raises(InvalidArgument, match=problem) as caught:
            run.attempt(masked_tokens={"tokenizer": f"tokenizers/{name}"})
        assert caught.value.field == "training_job.spec.masked_tokens.tokenizer"
    with pytest.raises(InvalidArgument, match="is the base's own"):
        run.attempt(masked_tokens={"tokenizer": f"tokenizers/{own}"})
    with pytest.raises(NotFound, match=r"tokenizer: tokenizers/nobody does not exist"):
        run.attempt(masked_tokens={"tokenizer": "tokenizers/nobody"})


def test_a_tokenizer_without_a_mask_is_refused(run: Deriving) -> None:
    registry, artifacts = run.registry, run.artifacts
    base = registry.base("tiny")
    text = (artifacts.path("tokenizers", base.tokenizer_digest) / "tokenizer.json").read_text()
    fields = {"kind": "tokenizer", "format_version": 1, "max_tokens": 64}
    bare = artifacts.put("tokenizers", {"tokenizer.json": text.replace("[MASK]", "[GAP]").encode()}, fields)
    registry.add_base(replace(base, id="bare", tokenizer_digest=bare))
    with pytest.raises(InvalidArgument, match="has no mask token") as caught:
        run.attempt(base_model="bases/bare")
    assert caught.value.field == "training_job.spec.base_model"


FAMILIES = ["bert", "roberta", "xlm-roberta", "distilbert", "electra"]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_layers_of_every_family_are_its_own(tmp_path: Path, family: str) -> None:
    """What the network tells is what transformers' own model of the family would, and so are its new tokens."""
    torch.manual_seed(3)
    config = AutoConfig.from_pretrained(save_base(tmp_path / "bare", family=family))
    whole: Any = AutoModelForMaskedLM.from_config(config)
    whole.save_pretrained(tmp_path / "whole")
    spec = tiny_spec(model=None, derived_base="bases/own")
    terms = [Term(400, (7, 9)), Term(401, ())]
    assert build_masked_network(spec, tmp_path / "bare", []).new_layers
    network = build_masked_network(spec, tmp_path / "whole", terms).eval()
    assert not network.new_layers
    add_terms(whole, terms)
    rows = [MaskedText(np.arange(5, 17), np.full(12, SKIP)), MaskedText(np.arange(20, 28), np.full(8, SKIP))]
    rows[0].truth[[1, 4]], rows[1].truth[3] = (400, 8), 401
    ids, mask, truth = pad_masked(rows)
    with torch.inference_mode():
        outputs = network(ids, mask, truth)
        logits = whole.eval()(input_ids=ids, attention_mask=mask).logits
    chances = logits.log_softmax(-1)
    expected = [-chances[0, 1, 400] - chances[0, 4, 8], -chances[1, 3, 401]]
    np.testing.assert_allclose(outputs[:, 0], torch.stack(expected), rtol=1e-5)
    assert outputs[:, 2].tolist() == [2, 1]
    weights = network.base.get_input_embeddings().weight
    torch.testing.assert_close(weights[400], weights[[7, 9]].mean(0))
