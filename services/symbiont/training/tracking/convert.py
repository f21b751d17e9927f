"""The messages of trackers: TensorBoard's records are made here, and W&B's are read."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from symbiont.training.tracking.reading import Parameter

FILE_VERSION = "brain.Event:2"


def header(time: datetime) -> bytes:
    """Returns the first record of every file."""
    return _event(time, file_version=FILE_VERSION)


def restart(time: datetime, step: int) -> bytes:
    """Returns a record by which readers drop what came before with this step or a later one, from the second one on."""
    from tensorboard.compat.proto.event_pb2 import SessionLog  # type: ignore[import-untyped]

    return _event(time, step, session_log=SessionLog(status=SessionLog.START))


def numbers(time: datetime, step: int, values: Mapping[str, float]) -> bytes:
    """Returns the record of numbers at a step; readers have them in single precision."""
    from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]

    found = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
    return _event(time, step, summary=Summary(value=found))


def text(time: datetime, step: int, tag: str, markdown: str) -> bytes:
    """Returns the record of a text."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto  # type: ignore[import-untyped]
    from tensorboard.compat.proto.types_pb2 import DT_STRING  # type: ignore[import-untyped]
    from tensorboard.plugins.text.metadata import create_summary_metadata  # type: ignore[import-untyped]

    tensor = TensorProto(dtype=DT_STRING, string_val=[markdown.encode()])
    metadata = create_summary_metadata(tag, "")
    return _event(time, step, summary=Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)]))


def parameters(time: datetime, run: str, values: Mapping[str, Parameter]) -> bytes:
    """Returns the record that puts a run into the table of hyperparameters."""
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb  # type: ignore[import-untyped]

    return _event(time, summary=hparams_pb(dict(values), trial_id=run, start_time_secs=time.timestamp()))


def ending(time: datetime, *, succeeded: bool) -> bytes:
    """Returns the record that ends a run in the table of hyperparameters."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata  # type: ignore[import-untyped]
    from tensorboard.plugins.hparams.api_pb2 import Status  # type: ignore[import-untyped]
    from tensorboard.plugins.hparams.plugin_data_pb2 import (  # type: ignore[import-untyped]
        HParamsPluginData,
        SessionEndInfo,
    )

    status = Status.Value("STATUS_SUCCESS" if succeeded else "STATUS_FAILURE")
    data = HParamsPluginData(session_end_info=SessionEndInfo(status=status, end_time_secs=time.timestamp()))
    made = metadata.create_summary_metadata(data)
    value = Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=made, tensor=metadata.NULL_TENSOR)
    return _event(time, summary=Summary(value=[value]))


def _event(time: datetime, step: int = 0, **what: Any) -> bytes:
    from tensorboard.compat.proto.event_pb2 import Event

    made: bytes = Event(wall_time=time.timestamp(), step=step, **what).SerializeToString()
    return made


def wandb_kind(record: bytes) -> str:
    """Returns what a record of W&B's is: `run`, `history`, `exit` and so on."""
    return str(_wandb(record).WhichOneof("record_type"))


def wandb_step(record: bytes) -> int | None:
    """Returns the step of a record of W&B's that is a line of history, else None."""
    read = _wandb(record)
    return int(read.history.step.num) if read.WhichOneof("record_type") == "history" else None


def _wandb(record: bytes) -> Any:
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    return Record.FromString(record)
