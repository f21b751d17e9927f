"""Every task with every kind of adapter: what is served equals what plain transformers, PEFT and tokenizers give.

Real services of tokenization and inference over gRPC, and a real Triton; bundles are asked for by digest, so that no
registry is needed. What is expected is computed here, in the plainest way, and shares no code with what is tested.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from tokenizers import Encoding

from support.poison import poisoned
from support.tokenizers import CHINESE
from symbiont.api.inference.v1 import inference_pb2 as pb

from .conftest import FIELDS, MAX_TOKENS, TEXTS, World

pytestmark = pytest.mark.asyncio(loop_scope="module")
TOLERANCE = 1e-4
ADAPTERS: dict[str, dict[str, Any]] = {
    "none": {"rank": 0},
    "lora": {"rank": 4},
    "adalora": {"rank": 3, "adalora": True},
    "houlsby": {"rank": 6, "houlsby": "gelu", "target_modules": ("output.dense",)},
    "bitfit": {"bitfit": True},
    "prefix": {"prefix": 5},
}


def ids(encoding: Encoding) -> np.ndarray:
    return np.array(encoding.ids, np.int32)


def second(encoding: Encoding) -> int:
    """Where the second text begins."""
    return encoding.type_ids.index(1)


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> dict[str, Any]:
    return ADAPTERS[request.param]


async def test_classification(world: World, adapter: dict[str, Any]) -> None:
    model, reference = world.bundle(task="classification", num_labels=3, seed=1, **adapter)
    answer = await world.ask(model, [pb.Instance(text=text) for text in TEXTS])
    for text, prediction in zip(TEXTS, answer.predictions, strict=True):
        expected = torch.softmax(torch.tensor(reference.logits(ids(world.encode(text)))), 0)
        given = {c.label: c.probability for c in prediction.classification.classes}
        assert given == pytest.approx({f"label-{n}": float(p) for n, p in enumerate(expected)}, abs=TOLERANCE)
        assert [c.probability for c in prediction.classification.classes] == sorted(given.values(), reverse=True)
    assert answer.served_model.bundle_digest == model.removeprefix("bundles/")
    assert answer.served_model.model_version == ""
    assert answer.stage_times.compute.ToNanoseconds() > 0


async def test_multi_label(world: World, adapter: dict[str, Any]) -> None:
    model, reference = world.bundle(task="multi_label", num_labels=6, seed=2, **adapter)
    whole = await world.ask(model, [pb.Instance(text=text) for text in TEXTS], threshold=0.0)
    own = await world.ask(model, [pb.Instance(text=text) for text in TEXTS])
    for text, every, held in zip(TEXTS, whole.predictions, own.predictions, strict=True):
        expected = torch.sigmoid(torch.tensor(reference.logits(ids(world.encode(text)))))
        given = {c.label: c.probability for c in every.multi_label.labels}
        assert given == pytest.approx({f"label-{n}": float(p) for n, p in enumerate(expected)}, abs=TOLERANCE)
        assert [c.label for c in held.multi_label.labels] == [n for n, p in given.items() if p >= 0.5]


@pytest.mark.parametrize("task", ["classification", "multi_label", "score"])
async def test_a_long_text_that_is_read_in_windows_has_the_mean_over_them(world: World, task: Any) -> None:
    model, reference = world.bundle(task=task, num_labels=3, seed=6, rank=4, windows=True, fields=FIELDS)
    texts = [" ".join(TEXTS), TEXTS[0], " ".join(reversed(TEXTS))]
    features = np.array([1, 0, 0, 0, 1, 1, 0], np.float32)
    windows = []
    with world.windows(MAX_TOKENS // 4):
        for text in texts:
            encoding = world.encode(text)
            windows.append([encoding, *encoding.overflowing])
    assert [len(each) > 1 for each in windows] == [True, False, True]
    means = [np.mean([reference.logits(ids(w), 0, features) for w in each], axis=0) for each in windows]
    given = [
        pb.BusinessField(name="income", number=70.0),
        pb.BusinessField(name="region", category="华东"),
        pb.BusinessField(name="owner", flag=True),
    ]
    asked = [pb.Instance(text=text, fields=given) for text in texts]
    answer = await world.ask(model, asked, **({"threshold": 0.0} if task == "multi_label" else {}))
    for mean, prediction in zip(means, answer.predictions, strict=True):
        assert not prediction.truncated
        match task:
            case "classification":
                expected = torch.softmax(torch.tensor(mean), 0)
                found = {c.label: c.probability for c in prediction.classification.classes}
            case "multi_label":
                expected = torch.sigmoid(torch.tensor(mean))
                found = {c.label: c.probability for c in prediction.multi_label.labels}
            case _:
                assert prediction.score.value == pytest.approx(5 / (1 + np.exp(-float(mean[0]))), abs=TOLERANCE)
                continue
        assert found == pytest.approx({f"label-{n}": float(p) for n, p in enumerate(expected)}, abs=TOLERANCE)


async def test_scores_with_business_fields(world: World, adapter: dict[str, Any]) -> None:
    model, reference = world.bundle(task="score", fields=FIELDS, seed=3, **adapter)
    given = [
        (
            [("income", {"number": 70.0}), ("region", {"category": "华东"}), ("owner", {"flag": True})],
            [1, 0, 0, 0, 1, 1, 0],
        ),
        ([("owner", {"flag": False})], [0, 1, 0, 0, 0, 0, 0]),
        ([("region", {"category": "unheard of"}), ("income", {"number": 50.0})], [0, 0, 0, 0, 0, 0, 1]),
        ([], [0, 1, 0, 0, 0, 0, 1]),
    ]
    instances = [
        pb.Instance(text=text, fields=[pb.BusinessField(name=name, **value) for name, value in fields])
        for text, (fields, _) in zip(TEXTS, itertools.cycle(given), strict=False)
    ]
    answer = await world.ask(model, instances)
    for text, (_, features), prediction in zip(TEXTS, itertools.cycle(given), answer.predictions, strict=False):
        value = reference.logits(ids(world.encode(text)), 0, np.array(features, np.float32))
        assert prediction.score.value == pytest.approx(5 / (1 + np.exp(-float(value[0]))), abs=TOLERANCE)


async def test_pairs_and_rankings_by_their_score(world: World, adapter: dict[str, Any]) -> None:
    model, reference = world.bundle(task="score", takes="pair", seed=4, **adapter)

    def expected(first: str, other: str) -> float:
        encoding = world.encode(first, other)
        return 5 / (1 + np.exp(-float(reference.logits(ids(encoding), second(encoding))[0])))

    pair = pb.Instance(pair=pb.Pair(first=TEXTS[0], second=TEXTS[4]))
    query = pb.Instance(query=pb.Query(text=TEXTS[1], texts=pb.Candidates(texts=TEXTS)))
    scored, ranked = (await world.ask(model, [pair, query])).predictions
    assert scored.score.value == pytest.approx(expected(TEXTS[0], TEXTS[4]), abs=TOLERANCE)
    scores = {match.index: match.score for match in ranked.ranking.matches}
    assert scores == pytest.approx({n: expected(TEXTS[1], text) for n, text in enumerate(TEXTS)}, abs=TOLERANCE)
    assert list(scores.values()) == sorted(scores.values(), reverse=True)


async def test_embeddings_similarities_and_rankings(world: World, adapter: dict[str, Any]) -> None:
    model, reference = world.bundle(task="embedding", num_labels=8, seed=5, **adapter)
    vectors = [reference.logits(ids(world.encode(text))) for text in TEXTS]
    vectors = [vector / np.linalg.norm(vector) for vector in vectors]
    instances = [
        *(pb.Instance(text=text) for text in TEXTS),
        pb.Instance(pair=pb.Pair(first=TEXTS[0], second=TEXTS[1])),
        pb.Instance(query=pb.Query(text=TEXTS[2], texts=pb.Candidates(texts=TEXTS))),
    ]
    answer = await world.ask(model, instances)
    for vector, prediction in zip(vectors, answer.predictions, strict=False):
        np.testing.assert_allclose(prediction.embedding.values, vector, rtol=0, atol=TOLERANCE)
    assert answer.predictions[-2].similarity.cosine == pytest.approx(float(vectors[0] @ vectors[1]), abs=TOLERANCE)
    ranked = {match.index: match.score for match in answer.predictions[-1].ranking.matches}
    assert ranked == pytest.approx({n: float(v @ vectors[2]) for n, v in enumerate(vectors)}, abs=TOLERANCE)
    assert next(iter(ranked)) == 2


async def test_the_plain_base_embeds(world: World) -> None:
    model, reference = world.bundle(task="embedding", num_labels=0, rank=0, seed=6)
    answer = await world.ask(model, [pb.Instance(text=TEXTS[0])])
    vector = reference.logits(ids(world.encode(TEXTS[0])))
    np.testing.assert_allclose(
        answer.predictions[0].embedding.values, vector / np.linalg.norm(vector), rtol=0, atol=TOLERANCE
    )


def _expected_entities(text: str, encoding: Encoding, values: np.ndarray, tags: Sequence[str]) -> list[Any]:
    probabilities = torch.softmax(torch.tensor(values), 1).numpy()
    found: list[Any] = []
    last = None
    for word in dict.fromkeys(w for w in encoding.word_ids if w is not None):
        tokens = [n for n, w in enumerate(encoding.word_ids) if w == word]
        best = int(probabilities[tokens[0]].argmax())
        start, end = encoding.offsets[tokens[0]][0], encoding.offsets[tokens[-1]][1]
        tag, probability = tags[best], float(probabilities[tokens[0], best])
        if tag != "O" and tag[0] == "I" and last == tag[2:]:
            found[-1][2] = end
            found[-1][3].append(probability)
        elif tag != "O":
            found.append([tag[2:], start, end, [probability]])
        last = None if tag == "O" else tag[2:]
    return [(kind, text[start:end], start, end, np.mean(p)) for kind, start, end, p in found]


async def test_entities(world: World, adapter: dict[str, Any]) -> None:
    model, reference = world.bundle(task="entities", num_labels=4, seed=7, **adapter)
    tags = ("O", "B-0", "I-0", "B-1", "I-1")
    answer = await world.ask(model, [pb.Instance(text=text) for text in TEXTS])
    assert sum(len(prediction.entities.entities) for prediction in answer.predictions) > 5
    for text, prediction in zip(TEXTS, answer.predictions, strict=True):
        encoding = world.encode(text)
        expected = _expected_entities(text, encoding, reference.logits(ids(encoding)), tags)
        given = [(e.type, e.text, e.start, e.end) for e in prediction.entities.entities]
        assert given == [entity[:4] for entity in expected]
        np.testing.assert_allclose(
            [e.probability for e in prediction.entities.entities], [e[4] for e in expected], rtol=0, atol=TOLERANCE
        )


async def test_entities_of_a_long_text_are_found_to_its_end(world: World) -> None:
    model, _ = world.bundle(task="entities", num_labels=2, seed=8)
    text = " ".join([*TEXTS, *TEXTS, *TEXTS])
    (prediction,) = (await world.ask(model, [pb.Instance(text=text)], offset_unit=pb.OFFSET_UNIT_UTF8_BYTE)).predictions
    found = prediction.entities.entities
    assert not prediction.truncated
    assert max(e.end for e in found) > len(text.encode()) * 0.8
    assert all(e.text == text.encode()[e.start : e.end].decode() for e in found)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))


def _expected_spans(
    context: str, encoding: Encoding, values: np.ndarray, longest: int
) -> tuple[list[tuple[float, str]], float]:
    """Every possible answer with its probability, best first, and that of there being none."""
    places = [n for n, sequence in enumerate(encoding.sequence_ids) if sequence == 1]
    scores = {(-1, -1): float(values[0].sum())}
    for first, last in itertools.product(places, places):
        if 0 <= last - first < longest:
            span = encoding.offsets[first][0], encoding.offsets[last][1]
            scores[span] = float(values[first, 0]) + float(values[last, 1])
    probabilities = torch.softmax(torch.tensor(list(scores.values()), dtype=torch.float64), 0).tolist()
    none, *rest = zip(probabilities, scores, strict=True)
    return sorted(((p, context[a:b]) for p, (a, b) in rest), reverse=True), none[0]


async def test_answers_to_questions(world: World, adapter: dict[str, Any]) -> None:
    model, reference = world.bundle(task="spans", seed=9, **adapter)
    pairs = [(TEXTS[1], TEXTS[2]), (CHINESE[1], CHINESE[3]), (TEXTS[0], TEXTS[2])]
    instances = [
        pb.Instance(question_context=pb.QuestionContext(question=question, context=context))
        for question, context in pairs
    ]
    answer = await world.ask(model, instances)
    for (question, context), prediction in zip(pairs, answer.predictions, strict=True):
        encoding = world.encode(question, context)
        values = reference.logits(ids(encoding), second(encoding))
        best, none = _expected_spans(context, encoding, values, 30)
        given = prediction.answer_spans
        assert given.no_answer_probability == pytest.approx(none, abs=TOLERANCE)
        if none > best[0][0]:
            assert not given.spans
        else:
            assert (given.spans[0].probability, given.spans[0].text) == (
                pytest.approx(best[0][0], abs=TOLERANCE),
                best[0][1],
            )
            assert context[given.spans[0].start : given.spans[0].end] == given.spans[0].text


async def test_a_long_context_is_read_to_its_end(world: World) -> None:
    model, _ = world.bundle(task="spans", seed=10)
    context = " ".join(TEXTS * 4)
    instance = pb.Instance(question_context=pb.QuestionContext(question=TEXTS[1], context=context))
    answers = await world.ask(model, [instance], top_k=50)
    spans = answers.predictions[0].answer_spans.spans
    assert not answers.predictions[0].truncated
    assert all(context[span.start : span.end] == span.text for span in spans)
    assert sum(span.probability for span in spans) <= 1 + 1e-6
    for one, other in itertools.combinations(spans, 2):
        assert one.end <= other.start or other.end <= one.start


async def test_explanations_are_what_erasing_a_word_does(world: World, adapter: dict[str, Any]) -> None:
    model, reference = world.bundle(task="classification", num_labels=3, seed=11, **adapter)
    text = TEXTS[1]
    answer = await world.stub.Explain(pb.ExplainRequest(model=model, instances=[pb.Instance(text=text)]), timeout=60)
    (explanation,) = answer.explanations
    encoding = world.encode(text)

    def probabilities(row: np.ndarray) -> np.ndarray:
        return torch.softmax(torch.tensor(reference.logits(row)), 0).numpy()

    whole = probabilities(ids(encoding))
    best = int(whole.argmax())
    assert (explanation.label, explanation.value) == (f"label-{best}", pytest.approx(whole[best], abs=TOLERANCE))
    words = list(dict.fromkeys(w for w in encoding.word_ids if w is not None))
    assert [word.text for word in explanation.words][:3] == ["Where", "is", "my"]
    for word, given in zip(words, explanation.words, strict=True):
        kept = np.array([i for i, w in zip(encoding.ids, encoding.word_ids, strict=True) if w != word], np.int32)
        assert given.attribution == pytest.approx(whole[best] - probabilities(kept)[best], abs=TOLERANCE)
        assert text[given.start : given.end] == given.text


@pytest.mark.parametrize("granularity", [pb.GRANULARITY_SENTENCE, pb.GRANULARITY_WORD])
async def test_explanations_of_a_pair_and_its_fields(world: World, granularity: Any) -> None:
    model, reference = world.bundle(task="score", takes="pair", fields=FIELDS, seed=13, rank=4)
    first, context = "Where is it? 在哪里？", "It is here. 它在那里。Nowhere else"
    given = [pb.BusinessField(name="income", number=70.0), pb.BusinessField(name="owner", flag=True)]
    instance = pb.Instance(pair=pb.Pair(first=first, second=context), fields=given)
    request = pb.ExplainRequest(model=model, instances=[instance], granularity=granularity)
    (explanation,) = (await world.stub.Explain(request, timeout=60)).explanations
    encoding, texts = world.encode(first, context), (first, context)
    assert not explanation.truncated

    def score(kept: Sequence[int], features: Sequence[float]) -> float:
        row = np.array([encoding.ids[i] for i in kept], np.int32)
        start = [encoding.type_ids[i] for i in kept].index(1)
        return 5 / (1 + np.exp(-float(reference.logits(row, start, np.array(features, np.float32))[0])))

    every, both = range(len(encoding.ids)), [1, 0, 0, 0, 0, 1, 0]
    assert explanation.value == pytest.approx(score(every, both), abs=TOLERANCE)
    for one in explanation.words:
        assert texts[one.sequence][one.start : one.end] == one.text
        inside = [
            encoding.sequence_ids[i] == one.sequence and one.start <= encoding.offsets[i][0] < one.end for i in every
        ]
        without = score([i for i in every if not inside[i]], both)
        assert one.attribution == pytest.approx(explanation.value - without, abs=TOLERANCE)
    if granularity == pb.GRANULARITY_SENTENCE:
        assert [(one.sequence, one.text) for one in explanation.words] == [
            *((0, text) for text in ("Where is it?", "在哪里？")),
            *((1, text) for text in ("It is here.", "它在那里。", "Nowhere else")),
        ]
    missing = {"income": [0, 1, 0, 0, 0, 1, 0], "owner": [1, 0, 0, 0, 0, 0, 1]}
    assert [one.name for one in explanation.fields] == [*missing]
    for one in explanation.fields:
        expected = explanation.value - score(every, missing[one.name])
        assert one.attribution == pytest.approx(expected, abs=TOLERANCE)


@pytest.fixture
def of_kind(world: World) -> Callable[[str], str]:
    shapes = {
        "classification": {"task": "classification"},
        "multi_label": {"task": "multi_label"},
        "score": {"task": "score", "fields": FIELDS},
        "scored pairs": {"task": "score", "takes": "pair"},
        "embedding": {"task": "embedding", "num_labels": 8},
        "entities": {"task": "entities", "num_labels": 2},
        "spans": {"task": "spans"},
    }
    return lambda kind: world.bundle(seed=12, **shapes[kind])[0]


TEXT = pb.Instance(text="fine")
PAIR = pb.Instance(pair=pb.Pair(first="one", second="two"))
QUESTION = pb.Instance(question_context=pb.QuestionContext(question="one", context="two"))
LONG_QUESTION = pb.Instance(question_context=pb.QuestionContext(question="order " * 60, context="two"))


def _query(*texts: str, catalogue: str = "") -> pb.Instance:
    query = (
        pb.Query(text="one", catalogue=catalogue)
        if catalogue
        else pb.Query(text="one", texts=pb.Candidates(texts=texts))
    )
    return pb.Instance(query=query)


def _fields(*fields: pb.BusinessField) -> pb.Instance:
    return pb.Instance(text="fine", fields=fields)


@pytest.mark.parametrize(
    ("kind", "instance", "options", "field"),
    [
        ("classification", PAIR, {}, "instances[1]"),
        ("classification", QUESTION, {}, "instances[1]"),
        ("classification", _query("a"), {}, "instances[1]"),
        ("classification", TEXT, {"threshold": 0.5}, "threshold"),
        ("classification", _fields(pb.BusinessField(name="x", number=1)), {}, "instances[1].fields[0].name"),
        ("multi_label", TEXT, {"threshold": 1.5}, "threshold"),
        ("multi_label", TEXT, {"threshold": -0.1}, "threshold"),
        ("score", PAIR, {}, "instances[1]"),
        ("score", _fields(pb.BusinessField(name="income")), {}, "instances[1].fields[0].value"),
        ("score", _fields(pb.BusinessField(name="income", number=float("nan"))), {}, "instances[1].fields[0].value"),
        ("score", _fields(pb.BusinessField(name="income", number=float("inf"))), {}, "instances[1].fields[0].value"),
        ("score", _fields(pb.BusinessField(name="income", number=1e300)), {}, "instances[1].fields[0].value"),
        ("score", _fields(pb.BusinessField(name="income", flag=True)), {}, "instances[1].fields[0].value"),
        ("score", _fields(pb.BusinessField(name="owner", number=1)), {}, "instances[1].fields[0].value"),
        ("score", _fields(pb.BusinessField(name="region", flag=True)), {}, "instances[1].fields[0].value"),
        ("score", _fields(*[pb.BusinessField(name="owner", flag=True)] * 2), {}, "instances[1].fields[1].name"),
        ("scored pairs", TEXT, {}, "instances[0]"),
        ("embedding", TEXT, {"threshold": 0.5}, "threshold"),
        ("embedding", _query(), {}, "instances[1].query.texts"),
        ("embedding", _query(*["a"] * 1001), {}, "instances[1].query.texts"),
        ("embedding", QUESTION, {}, "instances[1]"),
        ("embedding", _query(catalogue="faq"), {}, "instances[1].query.catalogue"),
        ("classification", _query(catalogue="catalogues/faq"), {}, "instances[1]"),
        ("scored pairs", _query(catalogue="catalogues/faq"), {}, "instances[0]"),
        ("embedding", _fields(pb.BusinessField(name="x", number=1)), {}, "instances[1].fields"),
        ("entities", PAIR, {}, "instances[1]"),
        ("entities", TEXT, {"threshold": 2.0}, "threshold"),
        ("entities", TEXT, {"offset_unit": 9}, "offset_unit"),
        ("entities", TEXT, {"priority": 9}, "priority"),
        ("spans", TEXT, {}, "instances[0]"),
    ],
)
async def test_what_a_task_does_not_take_is_refused(
    world: World, of_kind: Callable[[str], str], kind: str, instance: pb.Instance, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.ask(of_kind(kind), [TEXT, instance], **options)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (caught.value.details() or "").startswith(f"{field}: ")


async def test_a_question_that_leaves_no_room_for_the_context_is_refused(
    world: World, of_kind: Callable[[str], str]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.ask(of_kind("spans"), [QUESTION, LONG_QUESTION])
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (caught.value.details() or "").startswith("instances[1]: ")


async def test_a_bundle_that_is_not_there(world: World) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.ask(f"bundles/{'0' * 64}", [TEXT])
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_bad_bundles_fail_their_callers_and_no_other(world: World) -> None:
    good, reference = world.bundle(seed=13)
    common = {"tokenizer_digest": world.tokenizer_digest, "max_tokens": MAX_TOKENS}
    bad = poisoned(world.store, world.base, seed=14, **common)
    models = [name for digest in bad.values() for name in (good, f"bundles/{digest}", good)]
    answers = await asyncio.gather(*(world.ask(model, [TEXT]) for model in models), return_exceptions=True)
    expected = torch.softmax(torch.tensor(reference.logits(ids(world.encode(TEXT.text)))), 0)
    for model, answer in zip(models, answers, strict=True):
        if model == good:
            assert isinstance(answer, pb.PredictResponse), answer
            given = {c.label: c.probability for c in answer.predictions[0].classification.classes}
            assert given == pytest.approx({f"label-{n}": float(p) for n, p in enumerate(expected)}, abs=TOLERANCE)
        else:
            assert isinstance(answer, grpc.aio.AioRpcError), model
            assert answer.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert model in (answer.details() or "")


async def test_a_stream_answers_every_request_by_its_id(world: World, of_kind: Callable[[str], str]) -> None:
    good, kinds = of_kind("classification"), ("multi_label", "entities", "embedding")
    others = [of_kind(kind) for kind in kinds]

    async def requests() -> AsyncIterator[pb.PredictStreamRequest]:
        for number in range(60):
            model = good if number % 2 else others[number % 3]
            yield pb.PredictStreamRequest(id=f"r{number}", request=pb.PredictRequest(model=model, instances=[TEXT]))
        yield pb.PredictStreamRequest(id="bad", request=pb.PredictRequest(model=good, instances=[PAIR]))
        yield pb.PredictStreamRequest(id="", request=pb.PredictRequest(model=good, instances=[TEXT]))

    answers = {answer.id: answer async for answer in world.stub.PredictStream(requests(), timeout=60)}
    assert set(answers) == {f"r{number}" for number in range(60)} | {"bad", ""}
    alone = await world.ask(good, [TEXT])
    for number in range(1, 60, 2):
        classes = answers[f"r{number}"].response.predictions[0].classification.classes
        expected = alone.predictions[0].classification.classes
        assert [c.label for c in classes] == [c.label for c in expected]
        np.testing.assert_allclose(
            [c.probability for c in classes], [c.probability for c in expected], rtol=0, atol=1e-5
        )
    for identifier, field in (("bad", "instances[0]"), ("", "id")):
        error = answers[identifier].error
        assert (error.code, error.field) == (grpc.StatusCode.INVALID_ARGUMENT.value[0], field)
