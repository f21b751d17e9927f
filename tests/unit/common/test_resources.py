"""Resource names are read strictly and refused by the field that held them."""

from collections.abc import Callable

import pytest

from symbiont.common.errors import InvalidArgument
from symbiont.common.resources import (
    check_id,
    parse_digest_name,
    parse_digest_or_id,
    parse_name,
    parse_version_name,
)

DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize("identifier", ["a", "intent-zh", "a" * 63, "x9"])
def test_an_id(identifier: str) -> None:
    assert check_id("f", identifier) == identifier
    assert parse_name("f", "models", f"models/{identifier}") == identifier


@pytest.mark.parametrize("identifier", ["", "9a", "-a", "a-", "A", "a_b", "a" * 64, "a\n", "模型", "a/b", "a@b"])
def test_what_is_no_id(identifier: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_id("base_model_id", identifier)
    assert caught.value.field == "base_model_id"
    with pytest.raises(InvalidArgument):
        parse_name("f", "models", f"models/{identifier}")


def test_other_names() -> None:
    assert parse_digest_name("f", "tokenizers", f"tokenizers/{DIGEST}") == DIGEST
    assert parse_version_name("f", "models/x/versions/12") == ("x", 12)


@pytest.mark.parametrize(
    ("parse", "name"),
    [
        (lambda n: parse_name("f", "models", n), "bases/x"),
        (lambda n: parse_name("f", "models", n), "models"),
        (lambda n: parse_digest_name("f", "tokenizers", n), "tokenizers/abc"),
        (lambda n: parse_digest_name("f", "tokenizers", n), f"tokenizers/{DIGEST.upper()}"),
        (lambda n: parse_digest_name("f", "tokenizers", n), f"bundles/{DIGEST}"),
        (lambda n: parse_digest_name("f", "tokenizers", n), f"tokenizers/../{DIGEST}"),
        (lambda n: parse_version_name("f", n), "models/x/versions/0"),
        (lambda n: parse_version_name("f", n), "models/x/versions/01"),
        (lambda n: parse_version_name("f", n), "models/x/versions/-1"),
        (lambda n: parse_version_name("f", n), "models/x/versions/99999999999"),
        (lambda n: parse_version_name("f", n), "models/x/versions/1/more"),
        (lambda n: parse_version_name("f", n), "models/x"),
        (lambda n: parse_version_name("f", n), "models/X/versions/1"),
    ],
)
def test_malformed_names(parse: Callable[[str], object], name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(name)
    assert caught.value.field == "f"


def test_an_endless_name_is_told_in_short() -> None:
    for parse in (parse_version_name, check_id):
        with pytest.raises(InvalidArgument, match=r"is not an? (resource name|id).*") as caught:
            parse("f", "x" * 100_000)
        assert len(str(caught.value)) < 400


def test_a_digest_or_an_id() -> None:
    assert parse_digest_or_id("f", "tokenizers", f"tokenizers/{DIGEST}") == DIGEST
    assert parse_digest_or_id("f", "tokenizers", "tokenizers/bank-terms") == "bank-terms"
    for name in ("", "tokenizers", "tokenizers/", f"bases/{DIGEST}", f"tokenizers/{DIGEST}a", "tokenizers/a/b", "bank"):
        with pytest.raises(InvalidArgument, match="tokenizers/") as caught:
            parse_digest_or_id("f", "tokenizers", name)
        assert caught.value.field == "f"
