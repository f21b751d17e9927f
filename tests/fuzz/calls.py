"""Every method of the three services, asked with messages by chance, as real processes over real gRPC."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import psutil
from google.protobuf.descriptor import MethodDescriptor
from tritonclient.grpc import service_pb2

from fuzz.grammar import Grammar
from support.service import ServiceProcess
from support.tiny import csv_of, labelled_rows, save_base
from support.training_suite import Suite
from support.waiting import until_sync
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
# Of grpc.aio's own client, where a call ended while its messages were being sent; the service had said another.
_OWN_WORDS = "Internal error from Core"
# Of a call; those that follow something end only by this.
UNARY_S, STREAM_S = 20.0, 0.5


@dataclass
class Found:
    """What calls ended with, and those that ended as none may."""

    codes: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)


class Services:
    """The three services over one folder, with a base, rows and a tokenizer that messages can name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Workers end at once: what is asked is whether a job may be made.
        self._suite = Suite(folder, worker_program="false", plan_seconds=1, max_dataset_bytes=1 << 20)
        self._suite.tokenization.start()
        self._suite.training.start()
        base = save_base(folder / "tiny")
        self._suite.register(base)
        self._suite.upload("rows", csv_of(labelled_rows(40)))
        self.inference = ServiceProcess(
            "inference",
            folder,
            artifact_root=folder / "artifacts",
            tokenization_address=self._suite.tokenization.address,
            training_address=self._suite.training.address,
            triton_address="127.0.0.1:9",
            default_timeout_seconds=1,
        ).start()
        self.names = [
            *("bases/tiny", "datasets/rows", "tokenizers/tiny", "models/mood", "models/mood/versions/1", "jobs/job-1"),
            *("models/mood@production", "models/mood/aliases/production", "catalogues/faq", "text", "label", "tiny"),
            *(
                "rows",
                "mood",
                "production",
                "accuracy",
                "cat",
                str(base),
                str(folder),
                "/proc/self",
                "bundles/" + "a" * 64,
            ),
        ]

    @property
    def processes(self) -> dict[str, ServiceProcess]:
        """The services by name."""
        return {"tokenization": self._suite.tokenization, "training": self._suite.training, "inference": self.inference}

    @property
    def hints(self) -> dict[str, Sequence[str]]:
        """What fields may well hold, by their name; of a field that is not here, nothing."""
        versions, texts = (
            ("models/mood/versions/1", "models/mood"),
            ("Where is my order?", "请帮我取消订单", "good bank"),
        )
        return {
            "name": [*self.names[:8], "catalogues/faq"],
            "model": ("models/mood", "models/mood@production", "models/mood/versions/1", "mood"),
            "model_name": ("mood",),
            "model_version": versions,
            "start_from": ("", *versions),
            "base_model": ("bases/tiny",),
            "dataset": ("datasets/rows",),
            "evaluation_dataset": ("", "datasets/rows"),
            "source_dataset": ("datasets/rows",),
            "tokenizer": ("tokenizers/tiny",),
            "catalogue": ("catalogues/faq",),
            "training_job": ("jobs/job-1",),
            "job": ("jobs/job-1",),
            "folder": (str(self.folder / "tiny"),),
            "alias": ("production",),
            **dict.fromkeys(("text", "texts", "pair_texts", "first", "second", "question", "context", "query"), texts),
            **dict.fromkeys(
                ("dataset_id", "model_id", "base_model_id", "tokenizer_id", "catalogue_id", "id"), ("x1", "x2")
            ),
            **dict.fromkeys(("text_column", "label_column"), ("text", "label", "")),
            **dict.fromkeys(("labels", "label"), ("good", "bad")),
            "tokens": ("[CLS]", "good", "nobody"),
            "datatype": ("BYTES", "FP32", "INT32"),
            "prompt": texts,
            "subject": ("customer-1",),
        }

    def memory(self) -> dict[str, int]:
        """Returns the resident bytes of each service."""
        return {name: psutil.Process(p.process.pid).memory_info().rss for name, p in self.processes.items()}

    def alive(self) -> list[str]:
        """Returns the services that still run."""
        return [name for name, p in self.processes.items() if p.process.poll() is None]

    def stop(self) -> None:
        """Ends them."""
        self._suite.channel.close()
        for process in (self.inference, self._suite.training, self._suite.tokenization):
            process.stop()


@contextmanager
def services(folder: Path) -> Iterator[Services]:
    """Runs the services for the block."""
    made = Services(folder)
    try:
        until_sync(lambda: len(made.alive()) == 3)
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


async def ask(running: Services, count: int, seed: int) -> Found:
    """Asks so many times, each method as often as any other."""
    found, chance = Found(), random.Random(seed)
    grammar = Grammar(chance, running.names, running.hints)
    places = asyncio.Semaphore(AT_ONCE)
    channels = {name: grpc.aio.insecure_channel(p.address) for name, p in running.processes.items()}
    every = [(name, method) for name in MODULES for method in methods(name)]
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            name, method = every[number % len(every)]
            messages = [grammar.request(method.input_type)]
            if method.client_streaming:
                messages += [grammar.request(method.input_type) for _ in range(chance.randrange(3))]
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
