"""A run in plain text, line by line, and as JSON."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from symbiont.capacity import bundles
from symbiont.capacity.bundles import Kind
from symbiont.capacity.findings import Findings

RANKS = (4, 8, 16, 32, 64)


def as_json(found: Findings) -> Mapping[str, Any]:
    """Returns a run as values of JSON; bytes and seconds are plain numbers."""
    fields = asdict(found)
    fields["shapes"] = {"hidden_size": found.shapes.hidden_size, "parameters": found.shapes.parameters}
    best = found.best
    derived = {
        "bytes_per_bundle_measured": found.measured,
        "bytes_per_bundle": found.per_bundle,
        "host_bytes": found.host_bytes,
        "available_bytes": found.memory.available,
        "room_bytes": found.room,
        "bundles_that_fit": found.fit,
        "largest_load_that_holds": asdict(best) if best else None,
    }
    return {**fields, **derived}


def as_text(found: Findings) -> str:
    """Returns a run for people."""
    parts = (_what(found), _memory(found), _throughput(found), _loads(found), _answer(found))
    return "\n".join(line for part in parts for line in (*part, ""))


def _what(found: Findings) -> Iterator[str]:
    options = found.options
    yield f"base {found.base[:12]}: {found.shapes.parameters:,} parameters, hidden size {found.shapes.hidden_size}"
    yield f"host in Triton at {found.triton}, {found.cores} cores"
    yield f"{options.bundles} synthetic bundles: {_name(options.kind)}, head of {bundles.LABELS} labels"


def _memory(found: Findings) -> Iterator[str]:
    kind, rest = found.options.kind, found.options.bundles - found.warm
    yield "MEMORY OF ONE BUNDLE"
    yield f"  computed   {bundles.arithmetic(found.shapes, kind)}"
    yield f"             = {_bytes(found.computed)}"
    yield f"  reported   {_bytes(found.reported)} by the host's metrics"
    grown = f"(({_mib(found.host_after)} with {found.options.bundles} bundles) - ({_mib(found.host_before)} with"
    yield f"  measured   {grown} {found.warm})) / {rest} bundles = {_bytes(found.measured)}"
    yield f"  taken      {_bytes(found.per_bundle)}, the larger of computed and measured"
    yield f"  loading    {found.load_s * 1e3:.1f} ms each"
    yield ""
    yield f"COMPUTED FOR OTHER RANKS   {'  '.join(f'{rank:>9}' for rank in RANKS)}"
    for method in ("lora", "houlsby"):
        sizes = [bundles.bundle_bytes(found.shapes, replace(kind, method=method, rank=rank)) for rank in RANKS]
        yield f"  {method:<25}{'  '.join(f'{size / 1024:>5.0f} KiB' for size in sizes)}"
    yield ""
    yield "BUNDLES THAT FIT"
    memory, share = found.memory, 1 - found.options.reserve
    yield f"  machine    {_mib(memory.machine)} available"
    if memory.limit is not None and memory.used is not None:
        left = memory.limit - memory.used
        yield f"  group      {_mib(memory.limit)} limit - {_mib(memory.used)} used = {_mib(left)}"
    yield f"  usable     {_mib(memory.available)} x {share:.2f} = {_mib(memory.available * share)}"
    if found.serving:
        yield "  host       runs already: its base needs no more"
    else:
        need = f"{_mib(found.host_before)} - {found.warm} bundles"
        yield f"  host       {need} = {_mib(found.host_bytes)} before its first bundle"
    yield f"  room       {_mib(found.room)}"
    yield f"  fit        {found.room:,} B / {found.per_bundle:,.0f} B = {found.fit:,} bundles"


def _throughput(found: Findings) -> Iterator[str]:
    lengths = sorted({cell.tokens for cell in found.throughput})
    of = {(cell.rows, cell.tokens): cell.rows_per_s for cell in found.throughput}
    yield "ROWS A SECOND, bundles at random, 2 requests in flight"
    yield "  rows in a request   " + "  ".join(f"{length:>6} tokens" for length in lengths)
    for rows in sorted({cell.rows for cell in found.throughput}):
        cells = (f"{of[rows, length]:>13,.1f}" if (rows, length) in of else f"{'-':>13}" for length in lengths)
        yield f"  {rows:>17}   " + "  ".join(cells)


def _loads(found: Findings) -> Iterator[str]:
    options = found.options
    yield f"REQUESTS OF ONE ROW OF {options.tokens} TOKENS, at random moments"
    yield "  times count from when a request was due; one that was not answered counts as longer than any other"
    yield f"  a load is kept when p99 <= {options.p99_s * 1e3:g} ms"
    yield "   offered/s  answered/s     p50 ms     p99 ms  failed"
    for load in found.offered:
        word = "kept" if load.keeps(options.p99_s) else "not kept"
        times = f"{load.p50 * 1e3:>9.1f}  {load.p99 * 1e3:>9.1f}"
        yield f"  {load.offered:>10.1f}  {load.answered:>10.1f}  {times}  {load.failed:>6}  {word}"


def _answer(found: Findings) -> Iterator[str]:
    options, best = found.options, found.best
    yield "ANSWER"
    yield f"  {found.fit:,} bundles of {_name(options.kind)} fit; for so many set SYMBIONT_HOST_BUNDLES={found.fit}"
    if best:
        met = f"p50 {best.p50 * 1e3:.1f} ms, p99 {best.p99 * 1e3:.1f} ms"
        bound = f"p99 <= {options.p99_s * 1e3:g} ms"
        yield f"  {best.offered:.0f} requests of {options.tokens} tokens a second hold {bound}"
        yield f"  ({met}; without tokenization and the inference service, and while nothing else loads the machine)"
    else:
        yield f"  no load that was tried holds p99 <= {options.p99_s * 1e3:g} ms"


def _name(kind: Kind) -> str:
    return f"LoRA of rank {kind.rank}" if kind.method == "lora" else f"Houlsby adapters of width {kind.rank}"


def _bytes(size: float) -> str:
    return f"{size:,.0f} B ({size / 1024:,.1f} KiB)"


def _mib(size: float) -> str:
    return f"{size / (1 << 20):,.1f} MiB"
