"""Every method of the three services, asked with messages by chance, as real processes over real gRPC."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import psutil
from google.protobuf.descriptor import MethodDescriptor
from sqlalchemy import create_engine, insert
from tritonclient.grpc import service_pb2

from fuzz.grammar import Grammar
from support.bundles import random_bundle
from support.service import ServiceProcess
from support.tiny import csv_of, labelled_rows, save_base
from support.training_suite import Suite
from symbiont.api.inference.v1 import catalogue_pb2, generation_pb2, inference_pb2, release_pb2
from symbiont.api.tokenization.v1 import tokenization_pb2
from symbiont.api.training.v1 import (
    base_model_pb2,
    dataset_pb2,
    erasure_pb2,
    model_pb2,
    passport_pb2,
    promotion_pb2,
    training_job_pb2,
    worker_pb2,
)
from symbiont.common.artifacts import ArtifactStore
from symbiont.training.store import Store, tables
from symbiont.training.types import now

MODULES: dict[str, tuple[ModuleType, ...]] = {
    "tokenization": (tokenization_pb2,),
    "training": (
        *(base_model_pb2, dataset_pb2, erasure_pb2, model_pb2, passport_pb2, promotion_pb2, training_job_pb2),
        worker_pb2,
    ),
    "inference": (catalogue_pb2, generation_pb2, inference_pb2, release_pb2, service_pb2),
}
# What a caller may be told; INTERNAL and UNKNOWN say that nobody had thought of it.
FORBIDDEN = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS}
AT_ONCE = 24
ALIAS, VERSION, CATALOGUE = "models/mood/aliases/production", "models/mood/versions/1", "catalogues/faq"
TEXTS = ("Where is my order?", "请帮我取消订单", "good bank")
# Of grpc.aio's own client, where a call ended while its messages were being sent; the service had said another.
_OWN_WORDS = "Internal error from Core"
MOST_WORDS = 500
# Of a process, after it has warmed up: by jobs, datasets and bases that calls have made, and no leak.
MOST_GROWTH = 192 << 20
# Of a call; those that follow something end only by this.
UNARY_S, STREAM_S = 20.0, 0.5


@dataclass
class Found:
    """What calls ended with, and those that ended as none may."""

    codes: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    # Of refusals, some of each method.
    words: dict[str, set[str]] = field(default_factory=dict)


class Services:
    """The three services over one folder, with a base, rows and a tokenizer that messages can name."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        # Workers end at once: what is asked is whether a job may be made.
        self._suite = Suite(folder, worker_program="false", plan_seconds=1, max_dataset_bytes=1 << 20, **settings)
        self.inference = ServiceProcess(
            "inference",
            folder,
            artifact_root=folder / "artifacts",
            tokenization_address=self._suite.tokenization.address,
            training_address=self._suite.training.address,
            triton_address="127.0.0.1:9",
            default_timeout_seconds=1,
            **settings,
        )

    def start(self) -> None:
        """Starts them."""
        folder = self.folder
        self._suite.tokenization.start()
        self._suite.training.start()
        base = save_base(folder / "tiny")
        self._suite.register(base)
        self._suite.upload("rows", csv_of(labelled_rows(40)))
        self.inference.start()
        self.version = self._add_version()
        self.job = self._suite.create(request_id="first", head_only={}).name
        self.names = [
            *("bases/tiny", "datasets/rows", "tokenizers/tiny", "models/mood", VERSION, self.job, ALIAS, CATALOGUE),
            *("models/mood@production", "text", "label", "tiny", "rows", "mood", "production", "accuracy"),
            *(str(base), str(folder), "/proc/self", f"bundles/{self.version}", "bundles/" + "a" * 64),
        ]

    def _add_version(self) -> str:
        """Puts a bundle that nobody trained behind models/mood@production; returns its digest."""
        artifacts, store = ArtifactStore(self.folder / "artifacts"), Store(f"sqlite:///{self.folder}/symbiont.db")
        base = store.base("tiny")
        digest, _ = random_bundle(artifacts, base.digest, tokenizer_digest=base.tokenizer_digest)
        values = {
            "model": "mood",
            "number": 1,
            "bundle_digest": digest,
            "base_model": "tiny",
            "base_digest": base.digest,
        }
        values |= {
            "tokenizer_digest": base.tokenizer_digest,
            "job": "none",
            "create_time": now(),
            "evaluation_digest": "",
        }
        with create_engine(store.url).begin() as db:
            db.execute(insert(tables.models).values(id="mood", create_time=now()))
            db.execute(
                insert(tables.versions).values(
                    **values,
                    evaluation={
                        "row_count": 1,
                        "accuracy": 1.0,
                        "macro_f1": 1.0,
                        "loss": 0.0,
                        "labels": [],
                        "confusion_matrix": [],
                    },
                )
            )
        store.set_alias("mood", "production", 1, "")
        store.close()
        return digest

    @property
    def processes(self) -> dict[str, ServiceProcess]:
        """The services by name."""
        return {"tokenization": self._suite.tokenization, "training": self._suite.training, "inference": self.inference}

    def hints(self, method: MethodDescriptor) -> dict[str, Sequence[str]]:
        """Returns what fields of a method may well hold, by their names."""
        release, rows = f"{ALIAS}/releases/release-1", "datasets/rows"
        kinds = {
            **dict.fromkeys(("Job", "Event", "Log"), self.job),
            **dict.fromkeys(("ModelVersion", "Passport", "Report"), VERSION),
            **{"Release": release, "Dataset": rows, "Rows": rows, "Labels": rows, "Base": "bases/tiny"},
            **{"Tokenizer": "tokenizers/tiny", "Catalogue": CATALOGUE, "Alias": ALIAS, "Polic": ALIAS},
        }
        name = next((name for word, name in kinds.items() if word in method.name), "models/mood")
        foreign = method.containing_service.full_name.startswith("inference.")
        return {
            "name": ("TEXT",) if foreign else (name,),
            "parent": (ALIAS, "models/mood", CATALOGUE, release),
            "model": ("models/mood", "models/mood@production", VERSION, f"bundles/{self.version}"),
            "model_name": ("mood", "mood@production"),
            "model_version": ("", "1") if foreign else (VERSION,),
            "start_from": ("", VERSION),
            "base_model": ("bases/tiny",),
            "dataset": ("datasets/rows",),
            "evaluation_dataset": ("", "datasets/rows"),
            "tokenizer": ("tokenizers/tiny",),
            "catalogue": (CATALOGUE,),
            "training_job": (self.job,),
            "job": (self.job,),
            "folder": (str(self.folder / "tiny"),),
            "alias": (ALIAS,) if "Polic" in method.name else ("production",),
            "policy_alias": (ALIAS,),
            **dict.fromkeys(("text", "texts", "pair_texts", "first", "second", "question", "context", "query"), TEXTS),
            **dict.fromkeys(
                [f"{kind}_id" for kind in ("dataset", "base_model", "tokenizer", "catalogue")], ("x1", "x2")
            ),
            **dict.fromkeys(("train_dataset_id", "test_dataset_id"), ("x3", "x4")),
            **dict.fromkeys(("text_column", "label_column"), ("text", "label", "")),
            **dict.fromkeys(("labels", "label"), ("good", "bad")),
            **dict.fromkeys(("prompt", "terms", "tokens"), ("good", "estoppel", "nobody")),
            "datatype": ("BYTES", "INT32"),
            "id": ("1", "2"),
            "subject": ("customer-1",),
        }

    def memory(self) -> dict[str, int]:
        """Returns the resident bytes of each service."""
        return {name: psutil.Process(p.process.pid).memory_info().rss for name, p in self.processes.items()}

    def alive(self) -> list[str]:
        """Returns the services that still run."""
        return [name for name, p in self.processes.items() if p.process.poll() is None]

    def surprises(self) -> list[str]:
        """Returns what the logs say of errors that nobody had thought of."""
        return [
            f"{name}: {event.get('rpc')}: {str(event.get('exception', '')).strip()[-400:]}"
            for name, process in self.processes.items()
            for event in map(_event, process.log.read_text(errors="replace").splitlines())
            if event.get("event") == "unexpected error"
        ]

    def stop(self) -> None:
        """Ends them."""
        self._suite.channel.close()
        for process in reversed(self.processes.values()):
            process.end()


def _event(line: str) -> dict[str, Any]:
    """Returns a line of a log; an empty one for what a library has printed."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


@contextmanager
def services(folder: Path, **settings: object) -> Iterator[Services]:
    """Runs the services for the block; `settings` are of training and inference."""
    made = Services(folder, **settings)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def methods(service: str) -> list[MethodDescriptor]:
    """Returns the methods of a service, those of the Open Inference Protocol too."""
    return [
        method
        for module in MODULES[service]
        for each in module.DESCRIPTOR.services_by_name.values()
        for method in each.methods
    ]


async def ask(running: Services, count: int, seed: int, make: Callable[..., Grammar] = Grammar) -> Found:
    """Asks so many times, each method as often as any other; `make` makes the grammar of the messages."""
    found, chance = Found(), random.Random(seed)
    grammar = make(chance, running.names)
    places = asyncio.Semaphore(AT_ONCE)
    channels = {name: grpc.aio.insecure_channel(p.address) for name, p in running.processes.items()}
    every = [(name, method) for name in MODULES for method in methods(name)]
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            name, method = every[number % len(every)]
            length = 1 + (chance.randrange(3) if method.client_streaming else 0)
            hints = running.hints(method)
            messages = [grammar.request(method.input_type, hints, place) for place in range(length)]
            await places.acquire()
            group.create_task(_one(channels[name], method, messages, found, places))
    for channel in channels.values():
        await channel.close()
    return found


async def _one(
    channel: grpc.aio.Channel,
    method: MethodDescriptor,
    messages: Sequence[bytes],
    found: Found,
    places: asyncio.Semaphore,
) -> None:
    path = f"/{method.containing_service.full_name}/{method.name}"
    try:
        code, words = await _call(channel, path, method, messages)
    finally:
        places.release()
    found.codes[code.name] += 1
    if words and len(known := found.words.setdefault(path, set())) < MOST_WORDS:
        known.add(words)
    if code in FORBIDDEN and words != _OWN_WORDS:
        found.bad.append(f"{path}: {code.name} {words[:300]} for {[m.hex() for m in messages]}")


async def _call(
    channel: grpc.aio.Channel, path: str, method: MethodDescriptor, messages: Sequence[bytes]
) -> tuple[grpc.StatusCode, str]:
    given: Any = iter(messages) if method.client_streaming else messages[0]
    shape = ("stream" if method.client_streaming else "unary", "stream" if method.server_streaming else "unary")
    make = getattr(channel, "_".join(shape))(path)
    try:
        call = make(given, timeout=STREAM_S if method.server_streaming else UNARY_S)
        if method.server_streaming:
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as exc:
        return exc.code(), exc.details() or ""
    except asyncio.CancelledError:
        # What gRPC raises where the other side has cancelled.
        return grpc.StatusCode.CANCELLED, ""
    return grpc.StatusCode.OK, ""
