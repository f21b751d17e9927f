"""Texts of callers are in answers and in the store alone: not in logs, metrics, traces or refusals of any method."""

import asyncio
import random
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from typing_extensions import override

from fuzz import calls
from fuzz.grammar import Grammar
from support.collector import collecting

CALLS = 1200
# What people write, and what they call things: a refusal may say to its caller what that called a thing.
TEXT, NAME = "canary-text-9f2c", "canary-name-77ab"
WRITTEN = {
    *("text", "texts", "pair_texts", "first", "second", "question", "context", "query", "prompt", "content", "stop"),
    *("terms", "tokens", "subject", "comment", "reason", "message", "text_value", "messages", "candidates"),
}


class Planted(Grammar):
    """Messages with a text that is looked for wherever a text may be, and a name in many other places."""

    @override
    def request(self, descriptor: Any, hints: Mapping[str, Sequence[Any]], place: int = 0) -> bytes:
        self._hints, self._tame = hints, self._chance.choice((0.9, 1.0))
        made = self._message(descriptor, 0)
        if descriptor.oneofs:
            parts = descriptor.oneofs[0].fields
            self._fill(made, parts[min(place, len(parts) - 1)], 0)
        return bytes(made.SerializeToString())

    @override
    def _value(self, field: FieldDescriptor, depth: int) -> Any:
        if field.type == FieldDescriptor.TYPE_BYTES:
            return f'text,label\n"{TEXT}",a\n{TEXT},b\n{TEXT}'.encode()
        if field.cpp_type != FieldDescriptor.CPPTYPE_STRING:
            return super()._value(field, depth)
        if field.name in WRITTEN:
            return f"Where is {TEXT}?" * self._chance.choice((1, 1, 40, 4000))
        if field.name in ("provider", "license"):
            # What an operator says of a base, for metrics to show.
            return self._likely(field)
        return NAME if self._chance.random() < 0.15 else self._likely(field)


@pytest.mark.timeout(600)
def test_nothing_tells_what_a_caller_wrote(tmp_path: Path) -> None:
    with collecting() as collector:
        told = {"tracing_endpoint": collector.grpc_address, "tracing_sample_ratio": 1, "log_level": "debug"}
        with calls.services(tmp_path, **told) as running:
            found = asyncio.run(calls.ask(running, CALLS, 1, Planted))
            pages = {
                name: urllib.request.urlopen(f"http://{process.metrics_address}/metrics").read().decode()
                for name, process in running.processes.items()
            }
            logs = {name: process.log for name, process in running.processes.items()}
        said = {name: path.read_text(errors="replace") for name, path in logs.items()}
        spans = collector.raw.decode(errors="replace")
    assert found.codes["OK"] > CALLS // 20
    assert "symbiont.training.v1" in spans
    for canary in (TEXT, NAME):
        assert [line[:500] for log in said.values() for line in log.splitlines() if canary in line] == []
        assert [name for name, page in pages.items() if canary in page] == []
        assert canary not in spans
    assert [(path, w) for path, words in found.words.items() for w in words if TEXT in w] == []


def test_a_refusal_would_be_seen() -> None:
    grammar = Planted(random.Random(1), [])
    made = [grammar.request(method.input_type, {}) for method in calls.methods("inference") for _ in range(20)]
    assert any(TEXT.encode() in content for content in made)
    assert any(NAME.encode() in content for content in made)
