"""Why Triton's own response cache is not used: in the real Triton it gives one tenant's answers to another.

A tiny model whose answers depend on everything that a request has: the bytes of its inputs, their shapes and the
request's parameters. `tests/unit/inference/cache/test_leak.py` asks the same of our own cache, which must not leak.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import tritonclient.grpc.aio as tritonclient

from symbiont.triton import launcher
from symbiont.triton.installation import find_triton
from symbiont.triton.server import TritonServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
# Answers with the shape of its input, the sum of the ids, and how long the names of tenant and bundle are.
MODEL = b"""
import json
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        rows = pb_utils.get_input_tensor_by_name(request, "INPUT_IDS").as_numpy()
        told = json.loads(request.parameters())
        values = [*rows.shape, rows.sum(), len(told["tenant"]), len(told["bundle"])]
        return pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT", np.array(values, np.float32))])
"""


@dataclass(frozen=True)
class Asked:
    """A request: rows of ids, for a bundle and a tenant."""

    rows: list[list[int]] = field(default_factory=lambda: [[1, 2, 3, 4]])
    tenant: str = "us"
    bundle: str = "sentiment"

    @property
    def right(self) -> list[float]:
        """What the model answers."""
        rows = np.array(self.rows)
        return [*rows.shape, rows.sum(), len(self.tenant), len(self.bundle)]


OTHERS = {
    "another tenant": Asked(tenant="them"),
    "another bundle": Asked(bundle="spam"),
    "another shape": Asked(rows=[[1, 2], [3, 4]]),
    "another tenant, bundle and shape": Asked([[1], [2], [3], [4]], "them", "spam"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tritonclient.InferenceServerClient]:
    installation = find_triton(start=Path(__file__).parent)
    caches = installation.server_folder / "caches"

    def command(*arguments: Any, **options: Any) -> launcher.Command:
        argv, env = launcher.command(*arguments, **options)
        return launcher.Command([*argv, f"--cache-directory={caches}", f"--cache-config=local,size={1 << 20}"], env)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("symbiont.triton.server.command", command)
        async with (
            TritonServer(installation, tmp_path_factory.mktemp("triton")) as server,
            tritonclient.InferenceServerClient(server.url) as client,
        ):
            for name in ("cached", "plain"):
                config = {
                    "name": name,
                    "backend": "python",
                    "input": [{"name": "INPUT_IDS", "data_type": "TYPE_INT32", "dims": [-1, -1]}],
                    "output": [{"name": "OUTPUT", "data_type": "TYPE_FP32", "dims": [-1]}],
                    "instance_group": [{"kind": "KIND_CPU"}],
                    "response_cache": {"enable": name == "cached"},
                }
                await client.load_model(name, config=json.dumps(config), files={"file:1/model.py": MODEL})
            yield client


async def ask(client: tritonclient.InferenceServerClient, model: str, asked: Asked) -> list[float]:
    ids = np.array(asked.rows, np.int32)
    tensor = tritonclient.InferInput("INPUT_IDS", list(ids.shape), "INT32")
    tensor.set_data_from_numpy(ids)
    parameters = {"tenant": asked.tenant, "bundle": asked.bundle}
    answer = await client.infer(model, [tensor], parameters=parameters)
    values: list[float] = answer.as_numpy("OUTPUT").tolist()
    return values


async def hits(client: tritonclient.InferenceServerClient) -> int:
    (statistics,) = (await client.get_inference_statistics("cached")).model_stats
    return int(statistics.inference_stats.cache_hit.count)


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
async def test_the_second_gets_the_firsts_answer(client: tritonclient.InferenceServerClient, other: Asked) -> None:
    first = Asked()
    assert await ask(client, "cached", first) == first.right
    before = await hits(client)
    assert await ask(client, "cached", other) == first.right != other.right
    assert await hits(client) == before + 1
    # That is the cache's doing and not the model's.
    assert await ask(client, "plain", other) == other.right


async def test_other_ids_are_told_apart(client: tritonclient.InferenceServerClient) -> None:
    """Else the test above would show nothing of the key."""
    before = await hits(client)
    for last in (5, 6):
        other = Asked(rows=[[1, 2, 3, last]])
        assert await ask(client, "cached", other) == other.right
    assert await hits(client) == before
