"""How refused requests are told."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
import typer

from symbiont.api.training.v1.training_job_pb2 import TrainingSpec
from symbiont.cli.app import app
from symbiont.cli.console import describe
from symbiont.client import InvalidArgumentError


def told(field: str) -> str:
    error = InvalidArgumentError(grpc.StatusCode.INVALID_ARGUMENT, f"{field}: it is wrong", field=field)
    return describe(error).removeprefix("INVALID_ARGUMENT: ").removesuffix(": it is wrong")


def leaves(message: Any, path: str) -> Iterator[str]:
    for field in message.fields:
        inner, place = field.message_type, f"{path}.{field.name}"
        if inner is not None and inner.fields:
            yield from leaves(inner, f"{place}.0" if field.is_repeated else place)
        else:
            yield f"{place}.0" if field.is_repeated else place


def options() -> set[str]:
    """Returns what specs are made of: the options, and the arguments as help shows them."""
    group: Any = typer.main.get_command(app)
    commands = group.commands["train"], group.commands["bases"].commands["adapt"]
    taken = [one for command in commands for one in command.params]
    return {flag for one in taken for flag in (*one.opts, *one.secondary_opts, one.metavar or one.name.upper())}


def test_every_field_of_a_spec_is_named_by_an_option_that_there_is() -> None:
    fields = list(leaves(TrainingSpec.DESCRIPTOR, "training_job.spec"))
    # What the service alone fills in.
    fields.remove("training_job.spec.business_fields.kinds.0")
    strange = {field: said for field in fields if (said := told(field)) not in options()}
    assert strange == {}


@pytest.mark.parametrize(
    ("field", "option"),
    [
        ("training_job.spec.hidden_layers.0", "--hidden-layer"),
        ("training_job.spec.replay.fraction", "--replay-fraction"),
        ("training_job.spec.own_module.name", "--module"),
        ("training_job.spec.embedding.size", "--embedding-size"),
        ("training_job.spec.houlsby.size", "--size"),
        ("training_job.budget.training_time", "training_job.budget.training_time"),
    ],
)
def test_parts_of_a_spec_are_told_apart(field: str, option: str) -> None:
    assert told(field) == option
