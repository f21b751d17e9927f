"""What a model decides by costs and by thresholds of its own: trained on rows, served by the real Triton, and the same
whatever way it is asked."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient

from support.attempts import Run
from support.registry import upload, upload_rows
from support.tasks import HEADS
from support.tiny import BAD, GOOD, csv_of, labelled_rows, save_base
from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.bundle import ClassificationHead, MultiLabelHead, load_bundle
from symbiont.training import bases, types
from symbiont.training.store import Store
from symbiont.training.types import Evaluation

from .conftest import TEXTS, World

pytestmark = pytest.mark.asyncio(loop_scope="module")
DEAR_MISS = {"binary_costs": {"positive_label": "bad", "false_positive": 1, "false_negative": 30}}
# Few steps: a model that is unsure has something to decide.
HYPER = {"epochs": 1, "batch_size": 16, "learning_rate": 0.002, "max_tokens": 16}


def probabilities(prediction: pb.Prediction) -> list[float]:
    found = {each.label: each.probability for each in prediction.classification.classes}
    return [found[label] for label in sorted(found)]


async def costly(world: World) -> tuple[str, Sequence[str]]:
    """Returns a model whose costs change the answers to some of the texts, and the labels that it should answer."""
    plain, _ = world.bundle(task="classification", num_labels=2, seed=1)
    usual = (await world.ask(plain, [pb.Instance(text=text) for text in TEXTS])).predictions
    assert all(each.classification.decided == each.classification.classes[0] for each in usual)
    given = np.array([probabilities(each)[1] for each in usual])
    # From which probability on the second is answered: between those of two texts.
    least = float(np.sort(given)[3:5].mean())
    model, _ = world.bundle(
        task="classification", num_labels=2, seed=1, decision={"costs": ((0.0, least), (1.0 - least, 0.0))}
    )
    expected = [f"label-{int(each)}" for each in given > least]
    assert 0 < sum(a != b for a, b in zip(expected, decided(usual), strict=True)) < len(TEXTS)
    return model, expected


async def test_every_way_in_answers_the_least_expected_cost(world: World) -> None:
    model, expected = await costly(world)
    instances = [pb.Instance(text=text) for text in TEXTS]
    answer = await world.ask(model, instances)
    assert decided(answer.predictions) == expected
    for each in answer.predictions:
        found = each.classification
        assert [c.probability for c in found.classes] == sorted((c.probability for c in found.classes), reverse=True)
        assert found.decided in found.classes
    few = await world.ask(model, instances, top_k=1)
    assert decided(few.predictions) == expected
    assert {len(each.classification.classes) for each in few.predictions} == {1}
    assert await streamed(world, model, instances) == expected
    assert await by_tensors(world, model) == expected


def decided(predictions: Sequence[pb.Prediction]) -> list[str]:
    return [each.classification.decided.label for each in predictions]


async def streamed(world: World, model: str, instances: Sequence[pb.Instance]) -> list[str]:
    requests = [pb.PredictStreamRequest(id="all", request=pb.PredictRequest(model=model, instances=instances))]
    call = world.stub.PredictStream(iter(requests), timeout=120)
    return [label async for message in call for label in decided(message.response.predictions)]


async def by_tensors(world: World, model: str) -> list[str]:
    text = InferInput("TEXT", [len(TEXTS)], "BYTES")
    text.set_data_from_numpy(np.array([each.encode() for each in TEXTS], np.object_))
    async with InferenceServerClient(world.address) as client:
        result = await client.infer(model, [text], outputs=[InferRequestedOutput("LABEL")])
    return [label.decode() for label in result.as_numpy("LABEL")]


async def test_explain_explains_what_is_answered(world: World) -> None:
    model, expected = await costly(world)
    instances = [pb.Instance(text=text) for text in TEXTS]
    found = await world.stub.Explain(pb.ExplainRequest(model=model, instances=instances), timeout=120)
    assert [each.label for each in found.explanations] == expected


@pytest.fixture(scope="module")
def run(world: World, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("registry")
    store = Store(f"sqlite:///{folder}/symbiont.db")
    source = types.Source("folder", str(save_base(folder / "tiny")))
    store.add_base(bases.register(world.store, "tiny", source, "tests", "MIT"))
    yield Run(store, world.store)
    store.close()


async def test_training_reports_the_cost_of_what_is_served(world: World, run: Run) -> None:
    held = labelled_rows(60, seed=9)
    run.registry.add_dataset(upload(run.artifacts, csv_of(labelled_rows(160)), "rows"))
    run.registry.add_dataset(upload(run.artifacts, csv_of(held), "held"))
    digest = run(run.attempt(evaluation_dataset="datasets/held", hyperparameters=HYPER, classification=DEAR_MISS))
    (reported,) = run.of(Evaluation)
    manifest = load_bundle(run.artifacts, digest).manifest
    assert isinstance(manifest.head, ClassificationHead)
    assert manifest.head.costs == ((0.0, 30.0), (1.0, 0.0))
    answer = await world.ask(f"bundles/{digest}", [pb.Instance(text=text) for text, _ in held])
    truth, said = [label for _, label in held], decided(answer.predictions)
    cost = {("bad", "good"): 30.0, ("good", "bad"): 1.0}
    metrics = dict(reported.metrics)
    right = sum(a == b for a, b in zip(truth, said, strict=True))
    assert metrics["accuracy"] == reported.accuracy == pytest.approx(right / len(held))
    mean = sum(cost.get(pair, 0.0) for pair in zip(truth, said, strict=True)) / len(held)
    assert metrics["mean_cost"] == pytest.approx(mean)
    # The matrix, too, is that of the answers.
    assert sum(map(sum, reported.confusion_matrix)) == len(held)
    assert reported.confusion_matrix[0][1] == sum(p == ("bad", "good") for p in zip(truth, said, strict=True))
    best = [each.classification.classes[0].label for each in answer.predictions]
    usual = sum(cost.get(pair, 0.0) for pair in zip(truth, best, strict=True)) / len(held)
    assert metrics["most_probable_cost"] == pytest.approx(usual)
    assert best != said


async def test_labels_hold_from_the_thresholds_that_were_tuned(world: World, run: Run) -> None:
    rows = HEADS["multi-label"].rows
    run.registry.add_dataset(upload_rows(run.artifacts, rows(200), "many", label_kind="CLASSES"))
    run.registry.add_dataset(upload_rows(run.artifacts, rows(120), "many-held", label_kind="CLASSES"))
    attempt = run.attempt(
        dataset="datasets/many",
        evaluation_dataset="datasets/many-held",
        hyperparameters=HYPER,
        multi_label={"thresholds": "THRESHOLDS_BEST_F1"},
    )
    digest = run(attempt)
    manifest = load_bundle(run.artifacts, digest).manifest
    assert isinstance(manifest.head, MultiLabelHead)
    least = dict(zip(manifest.labels, manifest.head.thresholds, strict=True))
    assert set(least.values()) != {0.5}
    instances = [pb.Instance(text=f"{word} the bank") for word in (*GOOD, *BAD)]
    every = await world.ask(f"bundles/{digest}", instances, threshold=0.0)
    own = await world.ask(f"bundles/{digest}", instances)
    for given, held in zip(every.predictions, own.predictions, strict=True):
        expected = {each.label for each in given.multi_label.labels if each.probability >= least[each.label]}
        assert {each.label for each in held.multi_label.labels} == expected


async def test_costs_for_other_labels_are_no_bundle(world: World) -> None:
    """A bundle whose costs do not fit its labels is none."""
    with pytest.raises(ValueError, match=r"head\.costs: needs 3 lines of 3"):
        world.bundle(task="classification", num_labels=3, seed=1, decision={"costs": ((0.0, 1.0), (1.0, 0.0))})
