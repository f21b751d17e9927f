"""TensorBoard: event files, one folder for each job.

Each file begins with one event of the job and has one record for each that follows, so that the files themselves say
how far they are. They are written without a buffer: what a killed service leaves is whole, but for a last record that
is cut short, and readers go on with the next file.
"""

import struct
from io import SEEK_CUR, BytesIO, RawIOBase
from pathlib import Path

from symbiont.training.tracking import Run, register
from symbiont.training.tracking.reading import numbers_of, parameters_of, words_of
from symbiont.training.types import Event, Job, JobState, StateChange, now

PREFIX = "events.out.tfevents."
# The header; in the first file of a job also the start of the session, the spec and the hyperparameters.
HEADS, FIRST_HEADS = 1, 4
# Length and checksum before what is recorded, and another checksum after it.
BEFORE, AFTER = 12, 4


class TensorBoard:
    """Writes below a folder, for `tensorboard --logdir`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, job: Job, after: int) -> Run:
        """Goes on after what is in the folder of the job, whoever wrote it."""
        return TensorBoardRun(self._folder / job.id, job)

    def close(self) -> None:
        """There is nothing to end."""


class TensorBoardRun:
    """The files of one job: numbers in its folder, words in one below, where a restart does not purge them."""

    def __init__(self, folder: Path, job: Job) -> None:
        self._position = position(folder)
        self._numbers = RecordFile(folder, self._position + 1)
        self._words = RecordFile(folder / "log", self._position + 1)
        if not self._position:
            self._introduce(job)

    @property
    def position(self) -> int:
        """The last event that has its record."""
        return self._position

    def _introduce(self, job: Job) -> None:
        from symbiont.training.tracking import convert

        values = parameters_of(job)
        rows = [f"| {name} | {str(value).replace('|', '&#124;')} |" for name, value in values.items()]
        table = "\n".join(["| parameter | value |", "|---|---|", *rows])
        # The first start purges nothing, and is what makes readers heed the next ones.
        self._numbers.write(convert.restart(job.create_time, 0))
        self._numbers.write(convert.text(job.create_time, 0, "spec", table))
        self._numbers.write(convert.parameters(job.create_time, job.id, values))

    def record(self, event: Event, step: int) -> None:
        """Writes the record of an event, empty for one that has no numbers."""
        from symbiont.training.tracking import convert

        if words := words_of(event.body):
            self._words.write(convert.text(event.time, event.id, *words))
        if _begins_again(event):
            # The steps after the checkpoint come again.
            self._numbers.write(convert.restart(event.time, step + 1))
        else:
            self._numbers.write(convert.numbers(event.time, step, numbers_of(event.body)))
        self._position = event.id

    def flush(self) -> None:
        """Nothing waits."""

    def end(self, job: Job) -> None:
        """Says in the table of hyperparameters how it went."""
        from symbiont.training.tracking import convert

        self._numbers.write(convert.ending(job.end_time or now(), succeeded=job.state is JobState.SUCCEEDED))
        self.close()

    def close(self) -> None:
        """Closes the files."""
        self._numbers.close()
        self._words.close()


class RecordFile:
    """A file of records, made when the first one is written."""

    def __init__(self, folder: Path, first: int) -> None:
        """`first` is the event that it begins with: readers take files in the order of their names."""
        self._path = folder / f"{PREFIX}{first:010d}"
        self._file: RawIOBase | None = None

    def write(self, record: bytes) -> None:
        """Writes a record with its checksums."""
        from symbiont.training.tracking import convert

        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Whatever is in a file of this name was cut short before its first event, which comes again.
            self._file = self._path.open("wb", buffering=0)
            self._write(self._file, convert.header(now()))
        self._write(self._file, record)

    def _write(self, file: RawIOBase, record: bytes) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

        framed = BytesIO()
        RecordWriter(framed).write(record)
        if file.write(framed.getvalue()) != framed.tell():
            raise OSError(f"{self._path} was not written whole: is the disk full?")

    def close(self) -> None:
        """Closes it, if it was made."""
        if self._file:
            self._file.close()


def position(folder: Path) -> int:
    """Returns the last event of which a folder has the record, 0 for none."""
    files = [file for file in folder.glob(f"{PREFIX}*") if file.name.removeprefix(PREFIX).isdigit()]
    if not files:
        return 0
    last = max(files, key=lambda file: int(file.name.removeprefix(PREFIX)))
    first = int(last.name.removeprefix(PREFIX))
    return first - 1 + max(_whole_records(last) - (FIRST_HEADS if first == 1 else HEADS), 0)


def _whole_records(path: Path) -> int:
    count, size = 0, path.stat().st_size
    with path.open("rb") as file:
        while len(head := file.read(BEFORE)) == BEFORE:
            file.seek(struct.unpack("<Q", head[:8])[0] + AFTER, SEEK_CUR)
            if file.tell() > size:
                break
            count += 1
    return count


def _begins_again(event: Event) -> bool:
    body = event.body
    return isinstance(body, StateChange) and body.new_state is JobState.STARTING and event.attempt > 1


register(
    "tensorboard",
    lambda options: TensorBoard(options.folder / "tensorboard"),
    package="tensorboard",
    extra="train",
)
