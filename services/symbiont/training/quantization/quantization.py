"""Quantises a base for a caller: checks, tokens, a process that does the work, and what the registry says after."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from symbiont.common.log import get_logger
from symbiont.common.threads import QUIET
from symbiont.training.store.registry import Registry
from symbiont.training.types import BaseModel, QuantizationStage

LEAST_TEXTS, MOST_TEXTS = 100, 2048
# Where texts are cut, as training does unless told otherwise.
MAX_TOKENS = 256
# (tokenizer digest, texts, max_tokens) -> ids of each text.
Tokenize = Callable[[str, Sequence[str], int], Awaitable[list[list[int]]]]


class Quantization:
    """One base at a time: it takes all cores."""

    def __init__(
        self, registry: Registry, artifacts: ArtifactStore, tokenize: Tokenize, folder: Path, threads: int = 0
    ) -> None:
        """The process's log goes to `folder`; `threads` of 0 are as many as there are cores."""
        self._registry = registry
        self._artifacts = artifacts
        self._tokenize = tokenize
        self._folder = folder.absolute()
        self._threads = threads or os.cpu_count() or 1
        self._busy = asyncio.Lock()

    async def run(self, identifier: str, texts: Sequence[str]) -> AsyncGenerator[QuantizationStage | BaseModel]:
        """Yields each stage as it begins, and at last the base with its quantised form; closing it ends the process.

        Raises:
            NotFound: no such base.
            InvalidArgument: the base is no encoder, or the texts cannot be used.
            ResourceExhausted: another base is being quantised.
            FailedPrecondition: it cannot be done; the message says why.
        """
        base = await asyncio.to_thread(self._registry.base, identifier)
        check(base, texts)
        if self._busy.locked():
            raise ResourceExhausted("another base is being quantised", retry_after_s=30.0)
        async with self._busy:
            yield QuantizationStage.TOKENIZING
            rows = await self._tokenize(base.tokenizer_digest, texts, min(MAX_TOKENS, base.max_tokens))
            digest = ""
            # Closed before anybody else may begin: a generator that is left ends when it is collected.
            async with aclosing(self._work(base, rows)) as work:
                async for said in work:
                    if "stage" in said:
                        yield QuantizationStage(said["stage"].upper())
                    if "error" in said:
                        raise FailedPrecondition(f"{base.id} cannot be quantised: {said['error']}")
                    digest = said.get("digest", "")
            if not digest:
                raise FailedPrecondition(f"quantising {base.id} ended without a result; its log: {self._log(base)}")
            get_logger().info("quantised", base=base.id, digest=digest, rows=len(rows))
            yield await asyncio.to_thread(self._registry.set_quantized, base.id, digest)

    async def _work(self, base: BaseModel, rows: Sequence[Sequence[int]]) -> AsyncGenerator[dict[str, Any]]:
        """Yields what the process says; it is over when this is."""
        self._folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "symbiont.training.quantization"]
        command += ["--artifacts", str(self._artifacts.root), "--base", base.digest]
        environment = {**QUIET, **os.environ, "OMP_NUM_THREADS": str(self._threads), "HF_HUB_OFFLINE": "1"}
        with self._log(base).open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log, env=environment
            )
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        try:
            # A process that ends before it has read all is known by what it said, or did not.
            with suppress(BrokenPipeError, ConnectionResetError):
                process.stdin.write(json.dumps(rows).encode())
                await process.stdin.drain()
            process.stdin.close()
            async for line in process.stdout:
                yield json.loads(line)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _log(self, base: BaseModel) -> Path:
        return self._folder / f"{base.id}.log"


def check(base: BaseModel, texts: Sequence[str]) -> None:
    """Raises InvalidArgument, naming the field, where a base cannot be quantised with these texts."""
    if base.kind != "encoder":
        problem = f"{base.id} is a language model ({base.kind}): only encoders are computed in int8"
        raise InvalidArgument("name", problem, reason="NOT_AN_ENCODER")
    if not LEAST_TEXTS <= len(texts) <= MOST_TEXTS:
        raise InvalidArgument("texts", f"{len(texts)} are given; {LEAST_TEXTS} to {MOST_TEXTS} are needed")
    for index, text in enumerate(texts):
        if not text.strip():
            raise InvalidArgument(f"texts[{index}]", "it is blank")
