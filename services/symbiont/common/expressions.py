"""Regular expressions of tokenizers that take for ever: found by trying them, before a service works with them.

The library gives up on a match after ten million steps, and says so by a panic. A text can come close to that at every
letter, so that an expression which does so at all is refused.
"""

import json
import string
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from symbiont.common.errors import InvalidArgument

# Of one letter; an expression that doubles its steps with each is over the limit here.
_REPEATED = 28
_LETTERS = string.ascii_letters + string.digits + string.punctuation + " \t\né中の😀"
# What may stand behind, so that a match fails at the end.
_ENDS = ("", "!", "a", "\x00")


def is_panic(error: BaseException) -> bool:
    """Whether an error is one of a library in Rust that gave up; it is no Exception."""
    return type(error).__name__ == "PanicException"


def check_definition(field: str, path: Path) -> None:
    """Refuses a file that is no tokenizer, or one whose expressions take for ever.

    Raises:
        InvalidArgument: names `field`.
    """
    try:
        tokenizer = Tokenizer.from_file(str(path))
        # The library reads some files that are no JSON, and others read them, too.
        definition = json.loads(path.read_bytes())
    except Exception as exc:  # the library raises nothing narrower
        raise InvalidArgument(field, f"{path.name} is not a tokenizer: {exc}") from exc
    if letter := endless_letter(tokenizer, definition):
        problem = (
            f"{path.name} has a regular expression that takes for ever, for example on {letter * 5}...: simplify it"
        )
        raise InvalidArgument(field, problem, reason="TOKENIZER_EXPRESSION")


def endless_letter(tokenizer: Tokenizer, definition: Mapping[str, Any]) -> str:
    """Returns a letter whose repetition keeps an expression of the tokenizer busy for too long; empty for none."""
    expressions = "".join(_expressions(definition))
    if not expressions:
        return ""
    letters = dict.fromkeys(_LETTERS + expressions)
    return next((letter for letter in letters if _gives_up(tokenizer, letter)), "")


def _gives_up(tokenizer: Tokenizer, letter: str) -> bool:
    try:
        tokenizer.encode_batch_fast([letter * _REPEATED + end for end in _ENDS], add_special_tokens=False)
    except Exception:  # noqa: BLE001, that a vocabulary lacks a letter is no fault of an expression
        return False
    except BaseException as exc:
        if is_panic(exc):
            return True
        raise
    return False


def _expressions(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("Regex"), str):
            yield part["Regex"]
        for inner in part.values():
            yield from _expressions(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _expressions(inner)
