"""A model is named by alias, by version, or alone."""

import pytest

from symbiont.common.errors import InvalidArgument
from symbiont.inference.reference import ModelReference, parse_reference


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("models/intent", ModelReference("intent", "production")),
        ("models/intent@canary-2", ModelReference("intent", "canary-2")),
        ("models/intent/versions/12", ModelReference("intent", version=12)),
    ],
)
def test_a_reference(text: str, reference: ModelReference) -> None:
    assert parse_reference("model", text) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        "intent",
        "models/",
        "models/@production",
        "models/intent@",
        "models/intent@a@b",
        "models/intent@A",
        "models/Intent",
        "models/intent/",
        "models/intent/versions/0",
        "models/intent/versions/x",
        "models/intent/versions/1@production",
        "models/intent@production/versions/1",
        "models/intent\n",
        "bases/intent",
        "models/" + "a" * 10_000,
    ],
)
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_reference("model", text)
    assert caught.value.field == "model"
    assert len(str(caught.value)) < 20_000
