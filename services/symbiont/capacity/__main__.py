"""Measures a host on this machine: `python -m symbiont.capacity`; `symbiont capacity` calls it.

It needs no torch of its own: a real Triton computes. What it writes is removed, and its host unloaded, however it ends.
"""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from symbiont.capacity import bundles
from symbiont.capacity.bundles import Kind
from symbiont.capacity.findings import Findings, Options
from symbiont.capacity.measure import Place, Run, Tell
from symbiont.capacity.memory import read_memory
from symbiont.capacity.report import as_json, as_text
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import SymbiontError
from symbiont.common.security.files import Renewed, Tls
from symbiont.engine.settings import HostSettings
from symbiont.triton.client import HostClient
from symbiont.triton.connection import TritonTls
from symbiont.triton.installation import find_triton
from symbiont.triton.server import TritonServer


def parser() -> argparse.ArgumentParser:
    """Returns the command line."""
    made = argparse.ArgumentParser(prog="python -m symbiont.capacity", description=__doc__)
    made.add_argument("--artifacts", required=True, help="root of the artifact store that has the base")
    made.add_argument("--base", default="", help="beginning of the base's digest; may be left out where there is one")
    made.add_argument("--method", choices=("lora", "houlsby"), default="lora")
    made.add_argument("--rank", type=_positive, default=8, help="of LoRA, or the width of a bottleneck")
    made.add_argument("--bundles", type=_several, default=64, help="how many to write, load and ask")
    made.add_argument("--tokens", type=_positive, default=16, help="in a row of the offered load")
    made.add_argument("--p99-ms", type=float, default=50.0, help="what 99 of 100 requests must be answered within")
    made.add_argument("--reserve", type=float, default=0.1, help="share of the free memory that is left alone")
    made.add_argument("--seconds", type=float, default=4.0, help="for each measurement")
    made.add_argument("--threads", type=int, default=0, help="of one operation; 0 leaves it to the runtime")
    made.add_argument("--device", default="cpu")
    made.add_argument("--triton-address", default="", help="a Triton that runs here; without it one is started")
    made.add_argument("--metrics-url", default="", help="where that Triton serves its metrics")
    made.add_argument("--triton", type=Path, default=None, help="a tritonserver, or a folder with the wheel in it")
    made.add_argument("--json", action="store_true", help="print JSON")
    return made


def _positive(text: str) -> int:
    if not 1 <= int(text) <= 4096:
        raise argparse.ArgumentTypeError("must be 1 to 4096")
    return int(text)


def _several(text: str) -> int:
    if not 4 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError("must be 4 to 100,000")
    return int(text)


async def measure(given: argparse.Namespace, tell: Tell) -> Findings:
    """Does the run.

    Raises:
        SymbiontError: it cannot be done; the message says why.
    """
    memory = read_memory()
    source = ArtifactStore(given.artifacts)
    original = bundles.find_base(source, given.base)
    shapes = bundles.read_shapes(source, original)
    options = Options(
        kind=Kind(given.method, given.rank),
        bundles=given.bundles,
        tokens=min(given.tokens, shapes.max_length),
        p99_s=given.p99_ms / 1e3,
        reserve=given.reserve,
        seconds=given.seconds,
    )
    async with _place(given, original) as place:
        base = bundles.copy_base(source, original, place.store)
        try:
            return await Run(place, base, shapes, options, tell).findings(memory, original)
        finally:
            # One that is still being loaded goes too, as soon as it is there.
            await place.client.unload(base)


@asynccontextmanager
async def _place(given: argparse.Namespace, original: str) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="symbiont-capacity-")))
        store = ArtifactStore(root / "artifacts")
        url, metrics_url = given.triton_address, given.metrics_url
        files = Tls.from_environment() if url else None
        tls = TritonTls(Renewed(files)) if files else None
        if not url:
            server = await stack.enter_async_context(TritonServer(find_triton(given.triton), root))
            url, metrics_url = server.url, f"http://127.0.0.1:{server.metrics_port}/metrics"
        settings = HostSettings(store.root, threads=given.threads, max_slots=given.bundles, device=given.device)
        async with HostClient(url, settings, tls) as asking:
            serving = await asking.host_ready(original)
            if serving and (found := await asking.settings_of(original)):
                # As the host that serves computes.
                settings = replace(
                    found,
                    artifact_root=store.root,
                    base_digest="",
                    max_slots=given.bundles,
                    # Its bundles are made here, and go with it.
                    trusted_keys="",
                    require_signatures=False,
                )
        client = await stack.enter_async_context(HostClient(url, settings, tls))
        yield Place(client, store, url, metrics_url, serving)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs it; returns the exit status: 0, or 1 when it could not be done."""
    given = parser().parse_args(arguments)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("looking at the base", total=1.0)

        def tell(what: str, done: float) -> None:
            progress.update(task, description=what, completed=done)

        try:
            found = asyncio.run(measure(given, tell))
        except (SymbiontError, OSError) as exc:
            progress.stop()
            print(f"error: {exc}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            progress.stop()
            print("stopped; nothing is left behind", file=sys.stderr)
            return 1
    print(json.dumps(as_json(found), indent=2, default=str) if given.json else as_text(found))
    return 0


if __name__ == "__main__":
    # Ends it as Ctrl-C does: asyncio cancels what runs, and everything is cleared up. That works where a shell that
    # started this in the background has SIGINT ignored, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    sys.exit(main())
