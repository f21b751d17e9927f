"""Names are changed wherever in a message they stand."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor

from symbiont.api.inference.v1 import inference_pb2
from symbiont.api.training.v1 import dataset_pb2, model_pb2, passport_pb2, training_job_pb2
from symbiont.common.access.naming import asked_in, entered, holds_of, left, named_in, plan_of
from symbiont.common.access.views import INSIDE, view_of
from symbiont.common.errors import InvalidArgument
from symbiont.common.principal import Principal, Role
from symbiont.triton.open_inference import open_inference_pb2 as open_pb

PROTOS = Path(__file__).parents[4] / "protos"
FILES = [f for f in sorted(PROTOS.rglob("*.proto")) if f.parent.parent.name != "access"]
BANK = view_of(Principal("ana", "bank", frozenset({Role.TRAINER})))
OPERATOR = view_of(Principal("ops", "", frozenset({Role.OPERATOR})))
# What a comment says of a field that holds the name of what a tenant owns.
NAMED = re.compile(
    r"`(models|datasets|jobs|catalogues)/|\b(model|dataset|job|catalogue|release|version) that\b.*`name`"
)
# They show no name though the comment has one, or what they name is not addressed by it.
EXCEPT = {"ModelAlias.alias"}


def fields(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yields message.field, what stands in its declaration, and its comment, of all fields with strings."""
    message, comment = [""], ""
    for line in path.read_text().splitlines():
        text = line.strip()
        if text.startswith("//"):
            comment += " " + text.removeprefix("//")
        elif found := re.match(r"(message|enum|oneof|service|rpc) (\w+).*\{$", text):
            message.append(found[2] if found[1] == "message" else message[-1])
            comment = ""
        elif text.startswith("}"):
            message.pop()
        elif found := re.match(r"(?:repeated |optional )?string (\w+) = \d+(.*);", text):
            yield f"{message[-1]}.{found[1]}", found[2], comment
            comment = ""
        elif text:
            comment = ""


def test_a_message_and_all_in_it() -> None:
    request = inference_pb2.PredictRequest(model="models/mood")
    request.instances.add(query=inference_pb2.Query(text="models/mood", catalogue="catalogues/faq"))
    entered(BANK, request)
    assert (request.model, request.instances[0].query.catalogue) == ("models/bank~mood", "catalogues/bank~faq")
    assert request.instances[0].query.text == "models/mood"


def test_an_answer_is_changed_in_a_copy() -> None:
    answer = model_pb2.ListModelsResponse(models=[model_pb2.Model(name="models/bank~mood")])
    told = left(BANK, answer)
    assert (told.models[0].name, answer.models[0].name) == ("models/mood", "models/bank~mood")
    assert left(INSIDE, answer) is answer


def test_bytes_with_text() -> None:
    report = passport_pb2.EvaluationReport(content="models/bank~mood 好".encode())
    assert left(BANK, report).content.decode() == "models/mood 好"


def test_what_has_no_names_is_passed_on_as_it_is() -> None:
    for message in (open_pb.ServerLiveResponse(), dataset_pb2.LabelCount(label="a")):
        assert not plan_of(message)
        assert left(BANK, message) is message
    # A query may have one, a text has none.
    assert left(BANK, inference_pb2.Instance(text="x")) == inference_pb2.Instance(text="x")


def test_what_cannot_be_said_is_refused_by_its_path() -> None:
    request = inference_pb2.PredictRequest(model="models/mood")
    request.instances.add(text="x")
    request.instances.add(query=inference_pb2.Query(catalogue="catalogues/bank~faq"))
    with pytest.raises(InvalidArgument) as caught:
        entered(OPERATOR, request)
    assert caught.value.field == "instances[1].query.catalogue"


def test_what_a_call_is_about() -> None:
    request = training_job_pb2.CancelTrainingJobRequest(name="jobs/bank~job-1")
    assert named_in(request) == ["jobs/bank~job-1"]
    assert named_in(open_pb.ServerLiveRequest()) == []


def test_what_a_refused_call_asked_for() -> None:
    def cancel(name: str) -> Any:
        return training_job_pb2.CancelTrainingJobRequest(name=name)

    assert asked_in(BANK, cancel("jobs/job-1")) == ["jobs/bank~job-1"]
    # What its caller cannot say stands as it was said.
    assert asked_in(OPERATOR, cancel("jobs/bank~job-1")) == ["jobs/bank~job-1"]
    assert asked_in(BANK, iter([cancel("jobs/job-1")])) == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_field_that_is_said_to_hold_a_name_is_marked(path: Path) -> None:
    unmarked = [
        name for name, options, comment in fields(path) if NAMED.search(comment) and "access.v1.holds" not in options
    ]
    assert [name for name in unmarked if name not in EXCEPT] == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_name_parent_and_id_is_marked_or_of_all_tenants(path: Path) -> None:
    shared = re.compile(r"Base|Tokenizer|Generat|Column|Field|Leak|Module|Chat")
    unmarked = [
        name
        for name, options, _ in fields(path)
        if re.search(
            r"\.(name|parent|job|dataset|model|catalogue|release|model_version|\w*dataset_id|request_id)$", name
        )
        and "access.v1.holds" not in options
        and not shared.search(name.partition(".")[0])
    ]
    assert unmarked == []


def test_no_map_leads_to_a_name() -> None:
    """The walk through a message passes maps by."""

    def maps(descriptor: Descriptor, seen: set[str]) -> Iterator[Any]:
        if descriptor.full_name in seen:
            return
        seen.add(descriptor.full_name)
        for field in descriptor.fields:
            if field.message_type is not None:
                if field.message_type.GetOptions().map_entry:
                    yield field.message_type
                yield from maps(field.message_type, seen)

    seen: set[str] = set()
    files = [*FILES, None]
    for path in files:
        name = (
            ".".join(path.relative_to(PROTOS).with_suffix("").parts).replace("symbiont.", "symbiont.api.", 1)
            if path
            else ""
        )
        pool = import_module(f"{name}_pb2").DESCRIPTOR if path else open_pb.DESCRIPTOR
        for message in pool.message_types_by_name.values():
            for entry in maps(message, seen):
                assert not any(map(holds_of, entry.fields)), entry.full_name
                value = entry.fields_by_name["value"].message_type
                assert (
                    value is None
                    or value.full_name == "inference.InferParameter"
                    or not any(map(holds_of, value.fields))
                ), entry.full_name
