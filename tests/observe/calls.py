"""Calls of every kind on a suite of `observe.everything`, for as long as something is to be seen of them."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress

import grpc
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from observe.everything import Observed
from support.open_inference import request, texts
from support.tiny import labelled_rows
from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.api.inference.v1.inference_pb2_grpc import InferenceServiceStub
from symbiont.api.training.v1.dataset_pb2 import CleanTransform, SuggestionSettings, Transform

TEXTS = [text for text, _ in labelled_rows(200, seed=5)]
TENANTS, SHARES = ("bank", "shop", "clinic", "school"), (6, 3, 2, 1)
# Between two calls of a thread: the machine is to stay quiet enough for figures that mean something.
PAUSE_S = 0.04
LIVELY_THREADS = 2

Call = Callable[[Observed, random.Random], object]


def some(source: random.Random, most: int = 8) -> list[str]:
    """Returns a few texts."""
    return source.sample(TEXTS, source.randint(1, most))


def predict(suite: Observed, source: random.Random, **fields: object) -> object:
    """Predicts for one of the tenants."""
    tenant, priority = source.choices(TENANTS, SHARES)[0], source.choice([pb.PRIORITY_INTERACTIVE, pb.PRIORITY_BATCH])
    instances = [pb.Instance(text=text) for text in some(source)]
    asked = {"model": "models/mood@production", "instances": instances, "priority": priority, **fields}
    with grpc.insecure_channel(suite.endpoints.inference) as channel:
        call = InferenceServiceStub(channel).Predict
        return call(pb.PredictRequest(**asked), timeout=20, metadata=[("symbiont-tenant", tenant)])  # type: ignore[arg-type]


def predict_wrongly(suite: Observed, source: random.Random) -> None:
    """Asks for what is refused."""
    with suppress(grpc.RpcError):
        predict(suite, source, **source.choice([{"model": "models/nobody"}, {"top_k": -1}, {"instances": []}]))


def infer(suite: Observed, source: random.Random) -> object:
    """Predicts by the Open Inference Protocol."""
    with grpc.insecure_channel(suite.endpoints.inference) as channel:
        return GRPCInferenceServiceStub(channel).ModelInfer(request(texts(*some(source))), timeout=20)


def tokenize_wrongly(suite: Observed, source: random.Random) -> None:
    """Asks tokenization for what is refused."""
    with suppress(Exception):
        suite.client.tokenize("nobody", some(source))


def stream_tokens(suite: Observed, source: random.Random) -> object:
    """Tokenizes over a stream."""
    return list(suite.client.tokenize_stream("tiny", [some(source, 40) for _ in range(4)]))


def read_tokens(suite: Observed, source: random.Random) -> None:
    """Asks for what else tokenization tells."""
    client, asked = suite.client, some(source)
    client.tokenize("tiny", asked, max_tokens=8)
    client.count_tokens("tiny", asked)
    client.decode("tiny", [[2, 7, 8, 3]])
    client.look_up_vocabulary("tiny", ["bank"], [7])
    client.analyze_texts("tiny", asked)


def change_catalogue(suite: Observed, source: random.Random) -> None:
    """Adds entries and removes some."""
    entries = [(f"{source.randrange(50)}", text) for text in some(source)]
    suite.client.update_catalogue_entries("faq", dict(entries).items())
    suite.client.delete_catalogue_entries("faq", [entries[0][0]])


# What callers do all the time, and about how often each.
LIVELY: dict[Call, int] = {
    predict: 12,
    predict_wrongly: 1,
    infer: 3,
    tokenize_wrongly: 1,
    stream_tokens: 1,
    read_tokens: 1,
    change_catalogue: 1,
    lambda suite, source: suite.client.search_catalogue("faq", some(source)): 2,
    lambda suite, source: suite.client.explain("mood", some(source, 1)): 1,
    lambda suite, source: list(suite.client.predict_stream("mood", [(str(i), some(source)) for i in range(3)])): 1,
    lambda suite, source: list(suite.client.generate("tiny-lm", some(source, 1)[0], max_tokens=12)): 2,
}


def plan_and_train(suite: Observed) -> None:
    """Plans a job and trains it, so that plan and truth can be compared."""
    suite.client.plan_training_job(suite.spec("planned", "rows"))
    suite.client.promote(suite.train("planned", "rows"))


def tend_data(suite: Observed) -> None:
    """Passes a dataset through the data gate."""
    client = suite.client
    client.prepare_dataset("rows", "clean-rows", [Transform(clean=CleanTransform())])
    client.validate_dataset("rows")
    client.split_dataset("rows", "train-rows", "test-rows")
    list(client.export_rows("rows", "csv", client.suggest_rows("rows", SuggestionSettings(count=5))))


def judge(suite: Observed) -> None:
    """Judges a version, and asks where it comes from."""
    client = suite.client
    client.judge("mood/versions/2")
    client.get_model_passport("mood/versions/2")
    client.get_evaluation_report("mood/versions/2")


def steer(suite: Observed) -> None:
    """Pauses a job, resumes and cancels it."""
    client = suite.client
    job = client.create_training_job(suite.spec("steered", "rows", epochs=200), tenant="shop").name
    client.pause_training_job(job)
    client.resume_training_job(job)
    client.cancel_training_job(job)
    list(client.watch_training_job(job))


# What happens now and then, one after the other; a job is at work for most of the time.
RARE: tuple[Callable[[Observed], None], ...] = (plan_and_train, tend_data, judge, steer)


@contextmanager
def traffic(suite: Observed) -> Iterator["Future[None]"]:
    """Calls until the block ends; yields what is done when everything of `RARE` has been.

    Raises whatever a call raised that should have been answered.
    """
    stop = threading.Event()
    # What only one thread finds out ends all of them: the figures would be of something else.
    with ThreadPoolExecutor(LIVELY_THREADS + 1) as pool:
        rare = pool.submit(_live_rarely, suite)
        lively = [pool.submit(_live, suite, seed, stop) for seed in range(LIVELY_THREADS)]
        try:
            yield rare
        finally:
            stop.set()
        for thread in (rare, *lively):
            thread.result()


def _live(suite: Observed, seed: int, stop: threading.Event) -> None:
    source = random.Random(seed)
    try:
        while not stop.is_set():
            (call,) = source.choices([*LIVELY], [*LIVELY.values()])
            call(suite, source)
            time.sleep(PAUSE_S)
    finally:
        stop.set()


def _live_rarely(suite: Observed) -> None:
    for act in RARE:
        act(suite)
