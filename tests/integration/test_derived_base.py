"""A base of a domain, end to end: terms, masked texts, a base made of a base, a bundle on each of the two, and answers
of both from one Triton, through the real services."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModel

from support.stacks import ForkingStack
from support.tiny import csv_of, labelled_rows, save_base
from symbiont.api.training.v1.training_job_pb2 import JOB_STATE_SUCCEEDED, TrainingJob
from symbiont.bundle import export_peft
from symbiont.cli.target import endpoints_of
from symbiont.client import AsyncClient, Client, training_spec
from symbiont.client.channels import Endpoints
from symbiont.common.artifacts import ArtifactStore
from symbiont.local.encryption import open_artifacts
from symbiont.local.home import Home

pytestmark = pytest.mark.timeout(300)
TERMS = ["bancassurance", "不良贷款"]
TOLERANCE = 1e-4
TEXTS = [f"the {word} was good today" for word in ("bank", *TERMS)] + ["银行服务糟糕", f"{TERMS[0]} {TERMS[1]}"]


@dataclass
class World:
    client: Client
    endpoints: Endpoints
    artifacts: ArtifactStore
    tokenizer_digest: str

    def made(self, **options: Any) -> TrainingJob:
        """Returns the job of a spec when it has succeeded."""
        spec = training_spec(batch_size=8, max_tokens=32, epochs=2, learning_rate=3e-3, **options)  # type: ignore[misc]
        job = self.client.create_training_job(spec)
        list(self.client.watch_training_job(job.name))
        ended = self.client.get_training_job(job.name)
        assert ended.state == JOB_STATE_SUCCEEDED, ended.failure
        return ended


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("derived")
    corpus = folder / "corpus.jsonl"
    texts = [f"{text} {TERMS[number % 2]} {text}" for number, (text, _) in enumerate(labelled_rows(40))]
    corpus.write_text("\n".join(json.dumps({"text": text}, ensure_ascii=False) for text in texts))
    rows = folder / "rows.csv"
    rows.write_bytes(csv_of(labelled_rows(40)))
    with ForkingStack(Home(folder / "home"), insecure=True) as stack:
        stack.wait_ready()
        endpoints = endpoints_of(stack.record.addresses)
        with Client(endpoints) as client:
            client.register_base_model("tiny", folder=str(save_base(folder / "tiny")), license="MIT")
            client.create_dataset("corpus", corpus, label_kind="none")
            client.create_dataset("rows", rows)
            derived = client.derive_tokenizer("tiny", TERMS, tokenizer_id="terms").tokenizer
            yield World(client, endpoints, open_artifacts(stack.home), derived.digest)


def in_process(world: World, model: str, texts: list[str], folder: Path) -> "np.ndarray[Any, Any]":
    """Returns probabilities [texts, labels] by plain transformers, PEFT and tokenizers."""
    store, version = world.artifacts, world.client.get_model(model).aliases[0].model_version
    tokenizer = Tokenizer.from_file(str(store.path("tokenizers", version.tokenizer_digest) / "tokenizer.json"))
    export_peft(store, version.bundle_digest, folder / model)
    base: Any = AutoModel.from_pretrained(store.path("bases", version.base_digest))
    network = PeftModel.from_pretrained(base, folder / model).eval()
    head = load_file(store.path("bundles", version.bundle_digest) / "head.safetensors")
    rows = []
    with torch.inference_mode():
        for text in texts:
            ids = torch.tensor([tokenizer.encode(text).ids])
            pooled = network(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state.mean(1)
            rows.append(torch.softmax(pooled @ head["weight"].T + head["bias"], 1)[0].numpy())
    return np.stack(rows)


async def served(world: World, models: list[str]) -> dict[str, "np.ndarray[Any, Any]"]:
    """Asks every model for every text, all calls in flight together; returns probabilities [texts, labels] of each."""
    async with AsyncClient(world.endpoints) as client:
        calls = [(model, text) for text in TEXTS for model in models]
        answers = await asyncio.gather(*(client.predict(model, [text]) for model, text in calls))
    found: dict[str, list[list[float]]] = {model: [] for model in models}
    for (model, _), answer in zip(calls, answers, strict=True):
        chances = {choice.label: choice.probability for choice in answer.predictions[0].classes}
        found[model].append([chances["bad"], chances["good"]])
    return {model: np.array(rows) for model, rows in found.items()}


def test_a_bundle_on_a_derived_base_is_served_beside_one_on_its_parent(world: World, tmp_path: Path) -> None:
    client = world.client
    job = world.made(base_model="tiny", dataset="corpus", derived_base="domain", tokenizer="terms")
    assert (job.derived_base, job.model_version) == ("bases/domain", "")
    figures = job.evaluation.metrics
    assert figures["loss"] < figures["loss_before"]
    parent, base = client.get_base_model("tiny"), client.get_base_model("domain")
    assert (base.parent, base.parent_digest, base.source.training_job) == ("bases/tiny", parent.digest, job.name)
    assert base.tokenizer_digest == world.tokenizer_digest != parent.tokenizer_digest
    assert base.digest != parent.digest
    for model, on in (("of-parent", "tiny"), ("of-domain", "domain")):
        client.promote(world.made(base_model=on, dataset="rows", model=model, method="lora").model_version)
    found = asyncio.run(served(world, ["of-parent", "of-domain"]))
    for model, chances in found.items():
        expected = in_process(world, model, TEXTS, tmp_path)
        np.testing.assert_allclose(chances, expected, rtol=0, atol=TOLERANCE)
    assert not np.allclose(found["of-parent"], found["of-domain"], atol=TOLERANCE)
    answer = client.predict("of-domain", [TERMS[0]])
    assert (answer.base_digest, answer.tokenizer_digest) == (base.digest, base.tokenizer_digest)
