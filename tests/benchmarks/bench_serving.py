"""The whole suite against other servers with the same model, on the same cores, text in and label out.

`make bench-serving` installs the peers and runs it; `python tests/benchmarks/bench_serving.py` runs it with those that
are installed. It prints its tables, says for each bar *held* or *missed*, and exits 1 when one is missed. `--small`
takes seconds and no peers, for checking that the benchmark itself still runs.
"""

import argparse
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from symbiont.common.threads import QUIET

os.environ.update(QUIET | {"TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"})

from serving import ours
from serving.inprocess import runtimes
from serving.model import write_model
from serving.peers import ENGINES, IN_PROCESS, PEERS, installation_error
from serving.report import Report
from serving.rounds import measure
from serving.servers import Server, StartError, peer_server
from serving.suite import add_home
from serving.workloads import workloads

# Each server takes a few ports from here on, so that what it offers beside the one that is asked has a place too.
FIRST_PORT, PORTS_EACH = 21_000, 10


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="few texts, one round, no peers; bars do not count")
    parser.add_argument("--peers", default=",".join(PEERS), help="names, with commas between; empty for none")
    parser.add_argument("--engines", default=",".join(ENGINES), help="what the peers serve: onnxruntime, openvino")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the calls")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of an engine, ours and the peers'")
    parser.add_argument(
        "--setting", action="append", default=[], metavar="NAME=VALUE", help="of the suite's services: host_threads=2"
    )
    add_home(parser)
    parser.add_argument("--work", type=Path, help="an empty folder for the peers' models and logs, which stays")
    asked = parser.parse_args()
    if asked.small:
        asked.peers, asked.rounds, asked.scale = "", 1, 1 / 64
    return asked


def start_peers(
    asked: argparse.Namespace, model: Path | None, work: Path, stack: contextlib.ExitStack
) -> tuple[list[Server], dict[str, str]]:
    """Returns the peers that run, and why the others do not."""
    found: list[Server] = []
    absent: dict[str, str] = {}
    wanted = [(PEERS[name], engine) for name in _names(asked.peers) for engine in _names(asked.engines)]
    for number, (peer, engine) in enumerate(wanted):
        name = f"{peer.name}/{engine}"
        if problem := installation_error(peer.environment):
            absent[peer.name] = problem
            continue
        port = FIRST_PORT + PORTS_EACH * number
        try:
            assert model is not None
            found.append(stack.enter_context(peer_server(peer, engine, model, work, port, asked.threads)))
            print(f"{name} runs", flush=True)
        except StartError as exc:
            absent[name] = str(exc)
            print(f"{name}: {exc}", flush=True)
    return found, absent


def main() -> int:
    """Starts everything, measures, and returns the exit status."""
    asked = arguments()
    settings = dict(pair.split("=", 1) for pair in (f"host_threads={asked.threads}", *asked.setting))
    with contextlib.ExitStack() as stack:
        work = asked.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        running = stack.enter_context(ours.suite(asked.home, 64 if asked.small else 640, settings))
        served = ours.served(running)
        model = None if asked.small or installation_error(IN_PROCESS) else write_model(served, work / "model")
        servers = stack.enter_context(ours.servers(running))
        peers, absent = start_peers(asked, model, work, stack)
        limits = stack.enter_context(runtimes(served, model, work, asked.threads))
        findings = measure([*servers, *peers], limits, workloads(asked.scale), asked.rounds, not asked.small, _say)
        names = [limit.name for limit in limits]
    report = Report(findings, workloads(asked.scale), [peer.name for peer in peers], names)
    return 0 if report.print(absent) or asked.small else 1


def _names(text: str) -> Sequence[str]:
    return [name for name in text.split(",") if name]


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    # What was started is stopped on the way out, when it is told to end too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
