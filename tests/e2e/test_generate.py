"""A language model through the whole suite: registered, asked by prompt and by chat, left, and lost with its Triton."""

import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from support.hanging import family, hung
from support.language_models import greedy, library_tokenizer, save_language_model
from support.stacks import ForkingStack
from support.tiny import csv_of, labelled_rows, save_base
from support.waiting import until_sync
from symbiont.api.inference.v1 import generation_pb2 as pb
from symbiont.api.inference.v1.generation_pb2_grpc import GenerationServiceStub
from symbiont.api.training.v1 import base_model_pb2
from symbiont.cli.target import endpoints_of
from symbiont.client import (
    Client,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    RequestError,
    UnavailableError,
    training_spec,
)
from symbiont.local.home import Home
from symbiont.local.stack import Stack

ENDLESS = 16_000


class Language:
    """A suite of its own, without trained models, and a language model in it beside transformers' own of the folder."""

    def __init__(self, folder: Path, stack: Stack, client: Client) -> None:
        self.stack = stack
        self.client = client
        self.model = save_language_model(folder / "lm", max_length=ENDLESS + 384)
        # Written again, so that what is registered never ends by itself.
        self.model.config.eos_token_id = self.model.generation_config.eos_token_id = None
        self.model.save_pretrained(folder / "lm")
        self.tokenizer = library_tokenizer(folder / "lm")
        self.base = client.register_base_model("tiny-lm", folder=folder / "lm")
        client.register_base_model("encoder", folder=save_base(folder / "encoder"))
        (folder / "rows.csv").write_bytes(csv_of(labelled_rows(20)))
        client.create_dataset("rows", folder / "rows.csv")

    def expected(self, ids: list[int], max_tokens: int) -> str:
        """Returns the text that transformers adds to a prompt."""
        made = greedy(self.model, ids, max_tokens)
        tail = ids[-8:]
        before, after = (self.tokenizer.decode(row, skip_special_tokens=True) for row in (tail, [*tail, *made]))
        return str(after[len(before) :])

    def scrape(self, name: str) -> float:
        """Returns the value of a metric without labels of the inference service."""
        with urllib.request.urlopen(self.stack.record.metrics_urls["inference"]) as response:
            lines = response.read().decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"symbiont_inference_{name} "))


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Language]:
    folder = tmp_path_factory.mktemp("language")
    with ForkingStack(Home(folder / "home"), insecure=True) as stack:
        stack.wait_ready()
        with Client(endpoints_of(stack.record.addresses)) as client:
            yield Language(folder, stack, client)


def text_of(parts: list[pb.GenerateResponse]) -> str:
    return "".join(part.delta.text for part in parts)


@pytest.mark.parametrize("prompt", ["Where is my order?", "请帮我取消订单，谢谢。👩‍👧", "a"])
def test_a_prompt_is_continued_as_transformers_does(language: Language, prompt: str) -> None:
    parts = list(language.client.generate("tiny-lm", prompt, max_tokens=40))
    ids = language.tokenizer(prompt)["input_ids"]
    assert text_of(parts) == language.expected(ids, 40)
    served, end = parts[0].start.served_generator, parts[-1].end
    assert served.base_digest == language.base.digest
    assert served.tokenizer_digest == language.base.tokenizer_digest
    assert (end.finish_reason, end.prompt_tokens, end.output_tokens) == (pb.FINISH_REASON_LENGTH, len(ids), 40)
    assert language.base.kind == base_model_pb2.BASE_MODEL_KIND_CAUSAL


def test_a_chat_is_what_transformers_makes_of_it(language: Language) -> None:
    turns = [("system", "Be brief."), ("user", "Who are you?")]
    text = language.tokenizer.apply_chat_template(
        [{"role": role, "content": content} for role, content in turns], tokenize=False, add_generation_prompt=True
    )
    ids = language.tokenizer(text, add_special_tokens=False)["input_ids"]
    parts = list(language.client.generate("tiny-lm", messages=turns, max_tokens=30))
    assert text_of(parts) == language.expected(ids, 30)


def test_a_stop_text_cuts_the_text(language: Language) -> None:
    whole = text_of(list(language.client.generate("tiny-lm", "Where is my order?", max_tokens=40)))
    stop = whole[len(whole) // 2 : len(whole) // 2 + 3]
    parts = list(language.client.generate("tiny-lm", "Where is my order?", max_tokens=ENDLESS, stop=[stop]))
    assert text_of(parts) == whole[: whole.index(stop)]
    assert (parts[-1].end.finish_reason, parts[-1].end.stop) == (pb.FINISH_REASON_STOP, stop)


def leave(parts: Iterator[pb.GenerateResponse]) -> None:
    """Reads the first text and goes."""
    for part in parts:
        if part.HasField("delta"):
            return


def test_callers_who_leave_leave_nothing_behind(language: Language) -> None:
    for _ in range(20):
        parts: Any = language.client.generate("tiny-lm", "Where is my order?", max_tokens=ENDLESS)
        leave(parts)
        parts.close()
    until_sync(lambda: language.scrape("generation_streams") == 0)
    assert language.scrape("generations_running") == 0


@pytest.mark.parametrize(
    ("base", "arguments", "kind", "field"),
    [
        ("nobody", {"prompt": "a"}, NotFoundError, "base_model"),
        ("encoder", {"prompt": "a"}, FailedPreconditionError, "base_model"),
        ("tiny-lm", {"prompt": " "}, InvalidArgumentError, "prompt"),
        ("tiny-lm", {"prompt": "a " * 17_000}, InvalidArgumentError, "prompt"),
        ("tiny-lm", {"prompt": "a", "max_tokens": 16_384}, InvalidArgumentError, "max_tokens"),
        ("tiny-lm", {"messages": [("assistant", "a")]}, InvalidArgumentError, "chat.messages"),
    ],
)
def test_bad_input_is_refused_by_name(
    language: Language, base: str, arguments: dict[str, Any], kind: type[RequestError], field: str
) -> None:
    with pytest.raises(kind) as caught:
        list(language.client.generate(base, **arguments))
    assert caught.value.field == field


def test_nothing_is_trained_on_it(language: Language) -> None:
    spec = training_spec(base_model="tiny-lm", dataset="rows", model="no")
    with pytest.raises(InvalidArgumentError, match="nothing is trained on it"):
        language.client.create_training_job(spec)


def again(language: Language) -> bool:
    """Whether a text is generated now; any failure but UNAVAILABLE fails the test."""
    try:
        return bool(list(language.client.generate("tiny-lm", "a", max_tokens=3)))
    except UnavailableError:
        return False


def test_a_hung_triton_costs_no_generation_more_than_its_deadline(language: Language) -> None:
    """Neither one that has begun nor a new one; the service holds nothing of them, and goes on when it is over."""
    text = text_of(list(language.client.generate("tiny-lm", "a", max_tokens=8)))
    pids = family(language.stack.record.processes["triton"].pid)
    request = pb.GenerateRequest(base_model="bases/tiny-lm", prompt="a", max_tokens=ENDLESS)
    with grpc.insecure_channel(language.stack.record.addresses["inference"]) as channel:
        stub = GenerationServiceStub(channel)
        begun = stub.Generate(request, timeout=3)
        leave(begun)
        with hung(pids):
            for call in (begun, stub.Generate(request, timeout=1)):
                with pytest.raises(grpc.RpcError) as caught:
                    list(call)
                assert caught.value.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
            until_sync(lambda: language.scrape("generations_running") == 0)
    until_sync(lambda: again(language), 60)
    until_sync(lambda: language.scrape("generation_streams") == 0)
    assert text_of(list(language.client.generate("tiny-lm", "a", max_tokens=8))) == text


@pytest.mark.slow
def test_a_killed_triton_ends_the_stream_and_comes_back(language: Language) -> None:
    parts = language.client.generate("tiny-lm", "Where is my order?", max_tokens=ENDLESS)
    leave(parts)
    before = language.stack.record.processes["triton"].pid
    os.kill(before, signal.SIGKILL)
    with pytest.raises(UnavailableError):
        list(parts)

    until_sync(lambda: again(language), 60)
    assert language.stack.record.processes["triton"].pid != before
