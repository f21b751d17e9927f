"""What the clients send to prepare, cut, look through and label datasets."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from symbiont.api.training.v1.dataset_pb2 import (
    AnnotationFormat,
    DatasetWorkProgress,
    DatasetWorkStage,
    ExportRowsRequest,
    ImportLabelsHeader,
    ImportLabelsRequest,
    PrepareDatasetRequest,
    RowSuggestion,
    SplitDatasetRequest,
    SplitSettings,
    SuggestionSettings,
    SuggestRowsRequest,
    Transform,
    ValidateDatasetRequest,
    ValidationSettings,
)
from symbiont.client.names import full_name
from symbiont.client.requests import CHUNK_BYTES

# Told how far a work is.
WorkProgress = Callable[[DatasetWorkProgress], None]
_SUFFIXES = {"json": "label-studio", "ndjson": "jsonl"}


def prepare(name: str, dataset_id: str, transforms: Sequence[Transform]) -> PrepareDatasetRequest:
    """Asks for transforms of a dataset by id or name."""
    return PrepareDatasetRequest(name=full_name("datasets", name), dataset_id=dataset_id, transforms=transforms)


def split(
    name: str, train_dataset_id: str, test_dataset_id: str, settings: SplitSettings | None
) -> SplitDatasetRequest:
    """Asks for a split of a dataset by id or name."""
    return SplitDatasetRequest(
        name=full_name("datasets", name),
        train_dataset_id=train_dataset_id,
        test_dataset_id=test_dataset_id,
        split=settings,
    )


def validate(name: str, settings: ValidationSettings | None) -> ValidateDatasetRequest:
    """Asks for a report on a dataset by id or name."""
    return ValidateDatasetRequest(name=full_name("datasets", name), validation=settings)


def suggest(name: str, settings: SuggestionSettings | None) -> SuggestRowsRequest:
    """Asks for rows that are worth a look, of a dataset by id or name."""
    return SuggestRowsRequest(name=full_name("datasets", name), suggestion=settings)


def export(name: str, format: str, suggestions: Sequence[RowSuggestion]) -> ExportRowsRequest:
    """Asks for rows as a file."""
    return ExportRowsRequest(
        name=full_name("datasets", name), format=annotation_format(format), suggestions=suggestions
    )


def annotation_format(name: str) -> AnnotationFormat.ValueType:
    """Returns the format of that name: label-studio, jsonl or csv."""
    word = name.lower().replace("-", "_")
    known = [value.removeprefix("ANNOTATION_FORMAT_").lower() for value in AnnotationFormat.keys()[1:]]
    if word not in known:
        said = ", ".join(value.replace("_", "-") for value in known)
        raise ValueError(f"{name!r} is no format of labels; say one of {said}")
    return AnnotationFormat.Value(f"ANNOTATION_FORMAT_{word.upper()}")


class Labels:
    """A file of labels as the messages of an ImportLabels stream; a wrong path fails here."""

    def __init__(self, name: str, dataset_id: str, path: str | Path, format: str | None, only_labelled: bool) -> None:
        self._path = Path(path)
        suffix = self._path.suffix.removeprefix(".").lower()
        self._header = ImportLabelsHeader(
            name=full_name("datasets", name),
            dataset_id=dataset_id,
            format=annotation_format(format or _SUFFIXES.get(suffix, suffix)),
            only_labelled=only_labelled,
        )
        self._path.open("rb").close()

    def messages(self) -> Iterator[ImportLabelsRequest]:
        """Yields the header and then chunks; may be called again to send it all again."""
        yield ImportLabelsRequest(header=self._header)
        with self._path.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield ImportLabelsRequest(chunk=chunk)


def work_stage_word(stage: DatasetWorkStage.ValueType) -> str:
    """Returns `reading` for DATASET_WORK_STAGE_READING."""
    return DatasetWorkStage.Name(stage).removeprefix("DATASET_WORK_STAGE_").lower()
