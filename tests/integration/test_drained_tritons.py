"""Tritons that are restarted one after the other, under load, fail no call of the inference service before them.

Real services of tokenization and inference, each a process of its own, and two real Tritons, ended as an orchestrator
ends them. SYMBIONT_PROOF_DRAINED says how many calls are made at least.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
import pytest_asyncio
import torch
from prometheus_client.parser import text_string_to_metric_families
from transformers import BertConfig, BertModel

from support import proofs
from support.bundles import random_bundle, store_encoder
from support.service import ServiceProcess
from support.tokenizers import corpus, wordpiece
from support.waiting import until
from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.api.inference.v1.inference_pb2_grpc import InferenceServiceStub
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.row import Row
from symbiont.triton.installation import find_triton
from symbiont.triton.placement import Placement, Spread
from symbiont.triton.server import TritonServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
CALLS = proofs.size("DRAINED", small=400, whole=10_000)
CALLERS = 6
# More than loading a host takes on a busy machine.
TIMEOUT_S = 120
TOLERANCE = 1e-4
TEXTS = corpus()[3:13]
MAX_TOKENS = 48


@dataclass
class Setting:
    tritons: dict[str, TritonServer]
    inference: ServiceProcess
    channel: grpc.aio.Channel
    # By model and text.
    expected: dict[tuple[str, str], Mapping[str, float]]

    async def metric(self, name: str) -> float:
        """Returns a metric of inference, summed over its labels."""
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"http://{self.inference.metrics_address}/metrics")).text
        samples = (s for family in text_string_to_metric_families(text) for s in family.samples)
        return sum(sample.value for sample in samples if sample.name == f"symbiont_inference_{name}")

    async def all_ready(self) -> bool:
        """Whether inference has found both ready, with their hosts."""
        return await self.metric("triton_servers_ready") == len(self.tritons)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def setting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Setting]:
    folder = tmp_path_factory.mktemp("drained")
    async with AsyncExitStack() as stack:
        installation, tritons = find_triton(start=Path(__file__).parent), {}
        for name in ("one", "two"):
            triton = await stack.enter_async_context(TritonServer(installation, folder / name))
            tritons[triton.url] = triton
        store, tokenizer = ArtifactStore(folder / "artifacts"), wordpiece()
        fields = {"kind": "tokenizer", "format_version": 1, "max_tokens": 64}
        digest = store.put("tokenizers", {"tokenizer.json": tokenizer.to_str().encode()}, fields)
        torch.manual_seed(0)
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
        config = BertConfig(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=80, **sizes)
        base = store_encoder(store, BertModel(config))
        tokenizer.no_padding()
        tokenizer.enable_truncation(MAX_TOKENS)
        ids = {text: np.array(tokenizer.encode(text).ids, np.int32) for text in TEXTS}
        expected: dict[tuple[str, str], Mapping[str, float]] = {}
        placement, rows = Placement(list(tritons), Spread()), list[Row]()
        # Ports are chance, and so is what the hash makes of them: bundles until both servers have one.
        while len(placement.divide(base, rows)) < len(tritons):
            bundle, reference = random_bundle(
                store, base, seed=len(rows), rank=4, num_labels=3, tokenizer_digest=digest, max_tokens=MAX_TOKENS
            )
            rows.append(Row(ids[TEXTS[0]], bundle))
            for text in TEXTS:
                values = torch.softmax(torch.tensor(reference.logits(ids[text])), 0).tolist()
                expected[f"bundles/{bundle}", text] = {f"label-{n}": value for n, value in enumerate(values)}
        tokenization = ServiceProcess("tokenization", folder, artifact_root=store.root)
        inference = ServiceProcess(
            "inference",
            folder,
            artifact_root=store.root,
            tokenization_address=tokenization.address,
            triton_address=",".join(tritons),
            # Nobody listens there.
            training_address="127.0.0.1:9",
            host_threads=1,
            default_timeout_seconds=TIMEOUT_S,
        )
        for service in (tokenization, inference):
            stack.callback(service.stop)
            await asyncio.to_thread(service.start)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(inference.address))
        yield Setting(tritons, inference, channel, expected)


@dataclass
class Load:
    """Callers that ask without a pause, for every model in turn, and look at every answer."""

    setting: Setting
    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    over: bool = False

    async def run(self) -> None:
        """Returns once it is over and no call runs."""
        async with asyncio.TaskGroup() as group:
            for caller in range(CALLERS):
                group.create_task(self._ask(caller))

    async def _ask(self, caller: int) -> None:
        models = sorted({model for model, _ in self.setting.expected})
        for turn in itertools.count(caller):
            if self.over:
                return
            model, texts = models[turn % len(models)], [TEXTS[(turn + n) % len(TEXTS)] for n in range(3)]
            request = pb.PredictRequest(model=model, instances=[pb.Instance(text=text) for text in texts])
            try:
                answer = await InferenceServiceStub(self.setting.channel).Predict(request, timeout=TIMEOUT_S)
            except grpc.aio.AioRpcError as exc:
                self.failed[f"{exc.code().name}: {exc.details()}"] += 1
                continue
            for text, prediction in zip(texts, answer.predictions, strict=True):
                given = {c.label: c.probability for c in prediction.classification.classes}
                assert given == pytest.approx(self.setting.expected[model, text], abs=TOLERANCE)
            self.answered += 1


@pytest.mark.slow
@pytest.mark.proof
@pytest.mark.timeout(900)
async def test_a_rolling_restart_of_two_tritons_fails_no_call(setting: Setting) -> None:
    load = Load(setting)
    running = asyncio.create_task(load.run())
    await until(lambda: load.answered > CALLERS or running.done(), TIMEOUT_S)
    await until(setting.all_ready, TIMEOUT_S)
    restarts = 0
    while (restarts < len(setting.tritons) or load.answered < CALLS) and not running.done():
        triton = list(setting.tritons.values())[restarts % len(setting.tritons)]
        before = load.answered
        await triton.stop(grace_s=60)
        await until(lambda before=before: load.answered > before + CALLERS or running.done(), TIMEOUT_S)
        # The next one goes as soon as this one answers, when its hosts are not loaded yet.
        await triton.start()
        restarts += 1
    await until(setting.all_ready, TIMEOUT_S)
    load.over = True
    await running
    moved = await setting.metric("moved_rows_total")
    print(f"{restarts} restarts, {load.answered} calls answered, {moved:.0f} rows moved, failed: {dict(load.failed)}")
    assert not load.failed
    assert load.answered >= CALLS
    assert moved > 0
