"""Calls of every kind on a suite of `observe.everything`, for as long as something is to be seen of them."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import chain, count

import grpc
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from observe.everything import Observed
from support.open_inference import request, texts
from support.tiny import labelled_rows
from support.waiting import until_sync
from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.api.inference.v1.inference_pb2_grpc import InferenceServiceStub
from symbiont.api.training.v1.dataset_pb2 import CleanTransform, SuggestionSettings, Transform
from symbiont.api.training.v1.training_job_pb2 import JOB_STATE_PAUSED
from symbiont.client import Client, RequestError

TEXTS = [text for text, _ in labelled_rows(200, seed=5)]
TENANTS, SHARES = ("bank", "shop", "clinic", "school"), (6, 3, 2, 1)
# Between two calls of a thread: the machine is to stay quiet enough for figures that mean something.
PAUSE_S = 0.04
LIVELY_THREADS = 2

Call = Callable[[Observed, random.Random], object]
Act = Callable[[Observed, int], object]


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
    with suppress(RequestError):
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


def look_around(suite: Observed, source: random.Random) -> None:
    """Asks what there is."""
    client = suite.client
    lists = (
        *(client.list_base_models, client.list_datasets, client.list_models, client.list_training_jobs),
        *(client.list_tokenizers, client.list_catalogues),
    )
    for everything in lists:
        list(everything())
    for of_model in (client.list_model_versions, client.list_releases):
        list(of_model("mood"))
    client.get_base_model("tiny")
    client.get_dataset("rows")
    client.get_model("mood")
    client.get_model_version("mood/versions/1")
    client.get_tokenizer("tiny")
    client.get_catalogue("faq")
    client.list_catalogue_versions("faq")
    client.get_release(suite.release)
    client.get_release_observation(suite.release)
    list(client.list_disagreements(suite.release))


# What callers do all the time, and about how often each.
LIVELY: dict[Call, int] = {
    predict: 12,
    predict_wrongly: 1,
    infer: 3,
    tokenize_wrongly: 1,
    stream_tokens: 1,
    read_tokens: 1,
    change_catalogue: 1,
    look_around: 1,
    lambda suite, source: suite.client.search_catalogue("faq", some(source)): 2,
    lambda suite, source: suite.client.explain("mood", some(source, 1)): 1,
    lambda suite, source: list(suite.client.predict_stream("mood", [(str(i), some(source)) for i in range(3)])): 1,
    lambda suite, source: list(suite.client.generate("tiny-lm", some(source, 1)[0], max_tokens=12)): 2,
}


def plan_and_train(suite: Observed, turn: int) -> None:
    """Plans a job and trains it, so that plan and truth can be compared."""
    suite.client.plan_training_job(suite.spec("planned", "rows", epochs=20))
    suite.client.promote(suite.train("planned", "rows", epochs=20))


def tend_data(suite: Observed, turn: int) -> None:
    """Passes a dataset through the data gate."""
    client = suite.client
    client.create_dataset(f"rows-{turn}", suite.folder / "rows.csv")
    client.prepare_dataset("rows", f"clean-rows-{turn}", [Transform(clean=CleanTransform())])
    client.validate_dataset("rows")
    client.delete_dataset(f"rows-{turn}")
    client.forget_subject("nobody", dry_run=True)
    client.split_dataset("rows", f"train-rows-{turn}", f"test-rows-{turn}")
    list(client.export_rows("rows", "csv", client.suggest_rows("rows", SuggestionSettings(count=5))))


def judge(suite: Observed, turn: int) -> None:
    """Judges a version, and asks where it comes from."""
    client = suite.client
    client.judge("mood/versions/2")
    client.get_model_passport("mood/versions/2")
    client.get_evaluation_report("mood/versions/2")
    client.set_promotion_policy("mood@staging", approvals=1)
    client.get_promotion_policy("mood@staging")
    with Client(suite.endpoints, principal="a second person") as second:
        second.approve("mood/versions/2", "staging")
    client.set_promotion_policy("mood@staging")
    list(client.list_promotion_decisions("mood@-"))


def steer(suite: Observed, turn: int) -> None:
    """Pauses a job, resumes and cancels it."""
    client = suite.client
    job = client.create_training_job(suite.spec("steered", "rows", epochs=200), tenant="shop").name
    client.pause_training_job(job)
    until_sync(lambda: client.get_training_job(job).state == JOB_STATE_PAUSED, 60)
    client.resume_training_job(job)
    client.cancel_training_job(job)
    list(client.watch_training_job(job))


def administer(suite: Observed, turn: int) -> None:
    """Changes what is seldom changed: tokenizers, catalogues, aliases, releases; follows a job to its end."""
    client = suite.client
    client.derive_tokenizer("tiny", [f"term{turn}"], tokenizer_id=f"terms-{turn}")
    client.create_catalogue(f"passing-{turn}", "embedder")
    client.import_catalogue_entries(f"passing-{turn}", [("1", TEXTS[0]), ("2", TEXTS[1])])
    client.delete_catalogue(f"passing-{turn}")
    client.update_release(suite.release, weight=20 + turn % 20)
    for version in (1, 2, 1):
        client.promote(f"mood/versions/{version}", "staging")
    client.rollback("mood@staging")
    for end in (client.promote_release, client.end_release):
        client.promote("mood/versions/1", "staging")
        end(client.create_release("mood@staging", "mood/versions/2", shadow=True).name)
    job = next(client.list_training_jobs(states=["succeeded"])).name
    list(client.list_training_events(job))
    list(client.read_training_log(job))


# What happens one after the other, again and again; a job is at work for most of the time.
RARE: tuple[Act, ...] = (plan_and_train, tend_data, judge, steer, administer)


@contextmanager
def traffic(suite: Observed, rare: Sequence[Act] = RARE) -> Iterator[threading.Event]:
    """Calls until the block ends; yields what is set when everything of `rare` has been done once, or will not be.

    Raises whatever a call raised that should have been answered.
    """
    stop, once = threading.Event(), threading.Event()
    with ThreadPoolExecutor(LIVELY_THREADS + 1) as pool:
        threads = [pool.submit(_live, suite, seed, stop) for seed in range(LIVELY_THREADS)]
        threads.append(pool.submit(_live_rarely, suite, rare, stop, once))
        try:
            yield once
        finally:
            stop.set()
        for thread in threads:
            thread.result()


def _live(suite: Observed, seed: int, stop: threading.Event) -> None:
    source = random.Random(seed)
    try:
        # Each kind twice before chance decides: what came once has no rate.
        for call in chain(LIVELY, LIVELY, _by_chance(source)):
            if stop.wait(PAUSE_S):
                return
            call(suite, source)
    finally:
        stop.set()


def _by_chance(source: random.Random) -> Iterator[Call]:
    while True:
        yield from source.choices([*LIVELY], [*LIVELY.values()])


def _live_rarely(suite: Observed, acts: Sequence[Act], stop: threading.Event, once: threading.Event) -> None:
    try:
        for turn in count():
            for act in acts:
                if turn and stop.is_set():
                    return
                act(suite, turn)
            once.set()
            if stop.wait(PAUSE_S):
                return
    finally:
        once.set()
