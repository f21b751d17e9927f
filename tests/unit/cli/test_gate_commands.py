"""What `symbiont datasets prepare` refuses before it asks for anything."""

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--clean", "--kind", "email"), "--kind: it goes with --anonymize"),
        (("--clean", "--key", "names"), "--key: it goes with --anonymize"),
        (("--clean", "--max-ratio", "2"), "--max-ratio: it goes with --balance"),
        (("--clean", "--near", "0"), "--near: it goes with --deduplicate or --against"),
        ((), "say what to do: --clean"),
    ],
)
def test_what_would_be_of_no_effect_is_refused(call: Any, given: tuple[str, ...], said: str) -> None:
    result = call("datasets", "prepare", "rows", "new", *given)
    assert (result.status, said in " ".join(result.err.split())) == (2, True), result.err
