"""A tenant cannot tell from an answer whether another one has asked for the same before."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from support.guarded import Believing, said
from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.common.access.access import Access
from symbiont.common.principal import Guard, Role
from symbiont.triton.open_inference import open_inference_pb2 as open_pb

ROLES = (Role.CALLER, Role.VIEWER)
BANK, SHOP = said("ana", "bank", *ROLES), said("bob", "shop", *ROLES)
NATIVE, OPEN = "/symbiont.inference.v1.InferenceService/", "/inference.GRPCInferenceService/"
# As long as each other in tokens, and their words as each other in letters.
TEXT, CONTROL = "where is", "order my"


@pytest.fixture
def guard() -> Guard:
    return Access(Believing())


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"cache_mib": 16}


@pytest.fixture
def tenants(suite: Any) -> Any:
    """The bank and the shop have models/mood each, of the same base and tokenizer, which answer alike."""
    for tenant in ("bank", "shop"):
        version = suite.make_version(f"{tenant}~mood", 1, ["bad", "good"], [1.0, 0.0])
        suite.training.promote(f"{tenant}~mood", "production", version)
    return suite


def native(text: str) -> Any:
    return pb.PredictRequest(model="models/mood", instances=[pb.Instance(text=text)])


def explained(text: str) -> Any:
    return pb.ExplainRequest(model="models/mood", instances=[pb.Instance(text=text)])


def open_inference(text: str) -> Any:
    tensor = open_pb.ModelInferRequest.InferInputTensor(name="TEXT", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(text.encode())
    return open_pb.ModelInferRequest(model_name="mood", inputs=[tensor])


@dataclass(frozen=True)
class Way:
    """An RPC by which a text is asked for, and its answers' type."""

    method: str
    request: Callable[[str], Any]
    answer: Any


WAYS = [
    Way(f"{NATIVE}Predict", native, pb.PredictResponse),
    Way(f"{NATIVE}Explain", explained, pb.ExplainResponse),
    Way(f"{OPEN}ModelInfer", open_inference, open_pb.ModelInferResponse),
]


@dataclass
class Seen:
    """What a caller sees of an answer but how long it took, and what was done for it, which it does not see.

    `timed` has the stages of which a time is told, and whether it is one.
    """

    answer: str
    metadata: list[str]
    timed: dict[str, bool]
    rows: int
    texts: int


async def ask(suite: Any, way: Way, text: str, metadata: Any) -> Seen:
    rows, texts = suite.triton.asked, suite.listening.texts
    call = suite.inference.channel.unary_unary(
        way.method, type(way.request("")).SerializeToString, way.answer.FromString
    )(way.request(text), metadata=metadata)
    answer = await call
    keys = sorted(key for key, _ in (*await call.initial_metadata(), *await call.trailing_metadata()))
    timed = {}
    if hasattr(answer, "stage_times"):
        timed = {field.name: bool(time.ToNanoseconds()) for field, time in answer.stage_times.ListFields()}
        answer.ClearField("stage_times")
    shown = str(answer)
    for word in sorted(set(text.split())):
        shown = shown.replace(f'"{word}"', "WORD")
    return Seen(shown, keys, timed, suite.triton.asked - rows, suite.listening.texts - texts)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.method.rpartition("/")[2])
async def test_what_another_has_asked_for_is_computed_and_looks_as_if_nobody_had(tenants: Any, way: Way) -> None:
    await ask(tenants, way, TEXT, BANK)
    again = await ask(tenants, way, TEXT, BANK)
    # The bank's own is known: else nothing is shown here.
    assert (again.rows, again.texts) == (0, 0)
    shops = await ask(tenants, way, TEXT, SHOP)
    assert shops.rows > 0
    assert shops.texts == 1
    assert shops == await ask(tenants, way, CONTROL, SHOP)


async def test_its_statistics_tell_of_its_own_calls_alone(tenants: Any) -> None:
    for _ in range(3):
        await ask(tenants, WAYS[2], TEXT, BANK)
    await ask(tenants, WAYS[2], TEXT, SHOP)
    call = tenants.inference.channel.unary_unary(
        f"{OPEN}ModelStatistics",
        open_pb.ModelStatisticsRequest.SerializeToString,
        open_pb.ModelStatisticsResponse.FromString,
    )
    (entry,) = (await call(open_pb.ModelStatisticsRequest(), metadata=SHOP)).model_stats
    assert (entry.name, entry.inference_count) == ("mood", 1)
    assert (entry.inference_stats.cache_hit.count, entry.inference_stats.cache_miss.count) in ((0, 0), (0, 1))
