"""Releases over gRPC: who answers which call, what is seen of it, and what the registry is told."""

import hashlib
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import aio as triton

from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.api.inference.v1 import release_pb2 as rb
from symbiont.api.inference.v1.inference_pb2_grpc import InferenceServiceStub
from symbiont.api.inference.v1.release_pb2_grpc import ReleaseServiceStub
from symbiont.api.training.v1.model_pb2 import ReleaseRules
from symbiont.common.pages import encode_token

MOOD = "models/mood@production"
TEXTS = ["Where is my order?", "Please cancel the invoice."]
V1, V2 = "models/mood/versions/1", "models/mood/versions/2"
NOBODY = "models/mood/aliases/production/releases/nobody"


@pytest.fixture
def stub(suite: Any) -> InferenceServiceStub:
    return InferenceServiceStub(suite.inference.channel)


@pytest.fixture
def watch(suite: Any) -> ReleaseServiceStub:
    return ReleaseServiceStub(suite.inference.channel)


@pytest.fixture
def begin(suite: Any, watch: Any, eventually: Any) -> Any:
    """Begins a release of mood whose second version says the other label; returns its name once it is in use."""

    async def start(**values: Any) -> str:
        candidate = suite.make_version("mood", 2, ["bad", "good"], [2.0, 0.0])
        name: str = suite.training.release("mood", "production", candidate, **values)
        samples = suite.inference.samples
        await eventually(samples, lambda v: v("symbiont_inference_releases") == 1)
        await eventually(samples, lambda v: v("symbiont_inference_versions_waiting") == 0)
        observed = await watch.GetReleaseObservation(rb.GetReleaseObservationRequest(release=name))
        assert observed.candidate_in_use
        return name

    return start


def asked(key: str = "", model: str = MOOD) -> pb.PredictRequest:
    return pb.PredictRequest(model=model, instances=[pb.Instance(text=text) for text in TEXTS], routing_key=key)


async def answering(stub: Any, key: str = "") -> str:
    return str((await stub.Predict(asked(key))).served_model.model_version)


async def test_keys_keep_their_version_on_both_protocols(suite: Any, stub: Any, begin: Any) -> None:
    await begin(weight=40)
    keys = [f"user-{number}" for number in range(40)]
    by_key = {key: await answering(stub, key) for key in keys}
    assert set(by_key.values()) == {V1, V2}
    assert by_key == {key: await answering(stub, key) for key in keys}
    assert {await answering(stub) for _ in range(60)} == {V1, V2}

    text = triton.InferInput("TEXT", [1], "BYTES")
    text.set_data_from_numpy(np.array([TEXTS[0].encode()], np.object_))
    async with triton.InferenceServerClient(suite.inference.address) as client:
        for key in keys:
            answer = (await client.infer("mood", [text], parameters={"routing_key": key})).get_response()
            assert answer.parameters["model_version"].string_param == by_key[key]
        # What is no prediction asks for the version that the alias points at.
        assert {v for _ in range(20) for v in (await client.get_model_metadata("mood")).versions} == {"1"}


async def test_a_version_and_another_alias_are_no_part_of_a_release(suite: Any, stub: Any, begin: Any) -> None:
    await begin(weight=100)
    assert await answering(stub) == V2
    assert (await stub.Predict(asked(model=V1))).served_model.model_version == V1


async def test_a_shadow_rides_along_and_is_listed(suite: Any, stub: Any, begin: Any, watch: Any) -> None:
    name = await begin(shadow=True)
    before = len(suite.triton.bundles)
    answer = await stub.Predict(asked())
    assert answer.served_model.model_version == V1
    assert [p.classification.classes[0].label for p in answer.predictions] == ["good", "good"]
    # A bundle that the host may not have yet goes in a request of its own, and a first row may be asked meanwhile.
    rows = [bundle for request in suite.triton.bundles[before:] for bundle in request]
    assert rows.count(answer.served_model.bundle_digest) >= 2
    assert len(rows) >= 4
    assert len(set(rows)) == 2

    seen = await watch.GetReleaseObservation(rb.GetReleaseObservationRequest(release=name))
    assert (seen.shadow.row_count, seen.shadow.disagreement_count, seen.shadow.missed_row_count) == (2, 2, 0)
    assert (seen.baseline.model_version, seen.candidate.model_version) == (V1, V2)
    assert (seen.baseline.call_count, seen.candidate.call_count) == (1, 1)
    assert [(c.label, c.row_count) for c in seen.candidate.labels] == [("bad", 2)]
    page = await watch.ListDisagreements(rb.ListDisagreementsRequest(parent=name, page_size=1))
    rest = await watch.ListDisagreements(rb.ListDisagreementsRequest(parent=name, page_token=page.next_page_token))
    found = [*page.disagreements, *rest.disagreements]
    assert [each.input_sha256 for each in found] == [hashlib.sha256(t.encode()).hexdigest() for t in TEXTS[::-1]]
    assert not rest.next_page_token
    # As from another process, or this one before it was started again.
    token = encode_token("0" * 32 + "/" + "9" * 15)
    with pytest.raises(grpc.aio.AioRpcError, match="begin again") as caught:
        await watch.ListDisagreements(rb.ListDisagreementsRequest(parent=name, page_token=token))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    for each, prediction in zip(found, answer.predictions[::-1], strict=True):
        best = prediction.classification.classes[0]
        assert (each.baseline.label, each.baseline.probability) == (best.label, pytest.approx(best.probability))
        assert (each.candidate.model_version, each.candidate.label) == (V2, "bad")
        assert TEXTS[0] not in str(each)


async def test_a_shadow_that_cannot_answer_is_no_callers_trouble(
    suite: Any, stub: Any, begin: Any, eventually: Any
) -> None:
    await begin(shadow=True)
    suite.triton.broken = set(suite.triton.logits) - {(await stub.Predict(asked())).served_model.bundle_digest}
    for _ in range(5):
        assert (await stub.Predict(asked())).served_model.model_version == V1
    await eventually(suite.inference.samples, lambda v: v("symbiont_inference_versions_waiting") == 1)
    suite.triton.broken = set()
    await eventually(suite.inference.samples, lambda v: v("symbiont_inference_versions_waiting") == 0)


@pytest.mark.parametrize(
    ("rules", "fault", "rule"),
    [
        (ReleaseRules(max_label_shift=0.5, min_samples=20), None, "label_shift"),
        (ReleaseRules(max_error_rate_increase=0.5, min_samples=10), "broken", "error_rate"),
        (ReleaseRules(max_p99_latency_ratio=2, min_samples=10), "slow", "latency"),
    ],
)
async def test_a_candidate_that_breaks_a_rule_is_taken_back(
    suite: Any, stub: Any, begin: Any, refusal: Any, eventually: Any, rules: Any, fault: str | None, rule: str
) -> None:
    name = await begin(weight=50, rules=rules)
    if fault:
        candidate = suite.training.releases["mood", "production"].candidate_version
        getattr(suite.triton, fault).add(candidate.bundle_digest)

    async def ended() -> bool:
        for number in range(10):
            try:
                await stub.Predict(asked(f"user-{number}"))
            except Exception:  # noqa: BLE001 - a canary's callers do see its failures
                assert fault == "broken"
        return bool(suite.training.ended)

    await eventually(ended, bool)
    (told,) = suite.training.ended
    assert (told.name, told.rule_broken) == (name, True)
    assert "(from" in told.reason
    value = await suite.inference.samples()
    assert value("symbiont_inference_releases_broken_total", rule=rule) == 1
    assert {await answering(stub, f"user-{number}") for number in range(40)} == {V1}


async def test_a_promotion_that_cannot_be_loaded_breaks_nothing(suite: Any, stub: Any, eventually: Any) -> None:
    health = health_pb2_grpc.HealthStub(suite.inference.channel)

    async def status(name: str = MOOD) -> int:
        return int((await health.Check(health_pb2.HealthCheckRequest(service=name))).status)

    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    # A name whose health is asked before the registry was read is not known yet.
    await eventually(suite.inference.samples, lambda v: v("symbiont_inference_aliases") == 2)
    await eventually(status, lambda found: found == serving)
    late = suite.make_version("mood", 2, ["bad", "good"], [2.0, 0.0])
    suite.triton.broken = {late.bundle_digest}
    suite.training.promote("mood", "production", late)
    failed = "symbiont_inference_warm_ups_total"
    await eventually(suite.inference.samples, lambda v: v(failed, result="failed") >= 2)
    assert (await answering(stub), await status()) == (V1, serving)
    # An alias that had nothing before answers what it can, and its health says the truth.
    suite.training.promote("mood", "staging", late)
    await eventually(suite.inference.samples, lambda v: v("symbiont_inference_aliases") == 3)
    assert await status("models/mood@staging") == not_serving
    suite.triton.broken = set()
    await eventually(lambda: answering(stub), lambda version: version == V2)
    await eventually(lambda: status("models/mood@staging"), lambda found: found == serving)


@pytest.mark.parametrize("name", ["", "mood", "models/mood/aliases/production", "models//aliases//releases/"])
async def test_names_of_releases_are_checked(watch: Any, refusal: Any, name: str) -> None:
    status, field, _ = await refusal(watch.GetReleaseObservation(rb.GetReleaseObservationRequest(release=name)))
    assert (status, field) == ("INVALID_ARGUMENT", "release")
    status, field, _ = await refusal(watch.ListDisagreements(rb.ListDisagreementsRequest(parent=name)))
    assert (status, field) == ("INVALID_ARGUMENT", "parent")


async def test_what_does_not_run_is_not_found(watch: Any, refusal: Any) -> None:
    status, _, _ = await refusal(watch.GetReleaseObservation(rb.GetReleaseObservationRequest(release=NOBODY)))
    assert status == "NOT_FOUND"
    assert not (await watch.ListDisagreements(rb.ListDisagreementsRequest(parent=NOBODY))).disagreements


async def test_a_routing_key_is_bounded_on_both_protocols(suite: Any, stub: Any, refusal: Any) -> None:
    status, field, _ = await refusal(stub.Predict(asked("k" * 129)))
    assert (status, field) == ("INVALID_ARGUMENT", "routing_key")
    text = triton.InferInput("TEXT", [1], "BYTES")
    text.set_data_from_numpy(np.array([b"a"], np.object_))
    async with triton.InferenceServerClient(suite.inference.address) as client:
        for key in ("k" * 129, 7):
            with pytest.raises(Exception, match=r"parameters\.routing_key"):
                await client.infer("mood", [text], parameters={"routing_key": key})
    assert suite.triton.request_ids == []
