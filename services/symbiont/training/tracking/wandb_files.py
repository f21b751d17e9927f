"""How far W&B's own files are: its process writes them every so often, and what it held is gone when it is killed."""

import struct
from collections import deque
from collections.abc import Iterator
from pathlib import Path

# A header, then blocks of chunks in the manner of LevelDB's log: checksum, length, kind.
HEADER, BLOCK, CHUNK = 7, 32_768, struct.Struct("<IHB")
FULL, FIRST, LAST = 1, 2, 4


def is_whole(path: Path) -> bool:
    """Whether the file of a run that was finished is written up to its end."""
    from symbiont.training.tracking.convert import wandb_kind

    last = deque(records(path), maxlen=1)
    return bool(last) and wandb_kind(last[0]) == "exit"


def position(folder: Path, run: str) -> int | None:
    """Returns the last step of a run that is in its files, 0 for none; None where it has no files."""
    from symbiont.training.tracking.convert import wandb_step

    files = sorted(folder.glob(f"*/run-{run}.wandb"), reverse=True)
    for file in files:
        steps = [step for record in records(file) if (step := wandb_step(record)) is not None]
        if steps:
            return max(steps)
    return 0 if files else None


def records(path: Path) -> Iterator[bytes]:
    """Yields the whole records of a file."""
    data, offset, record = path.read_bytes(), HEADER, b""
    while offset + CHUNK.size <= len(data):
        left = BLOCK - offset % BLOCK
        if left < CHUNK.size:
            offset += left
            continue
        _, length, kind = CHUNK.unpack_from(data, offset)
        offset += CHUNK.size
        if not FULL <= kind <= LAST or offset + length > len(data):
            return
        record = data[offset : offset + length] if kind in (FULL, FIRST) else record + data[offset : offset + length]
        offset += length
        if kind in (FULL, LAST):
            yield record
