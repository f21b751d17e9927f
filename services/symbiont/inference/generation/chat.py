"""Puts a conversation into the form that a model was trained on: runs its chat template."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NoReturn

from jinja2 import Template, TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from symbiont.common.errors import FailedPrecondition, InvalidArgument
from symbiont.inference.generation.types import Message


class _Refused(TemplateError):
    """A template itself says that a conversation is not of the form that it takes."""


def render(template: str, messages: Sequence[Message], special_tokens: Mapping[str, str]) -> str:
    """Returns the prompt for the next turn, special tokens in it as text.

    The environment is that of transformers: sandboxed, blocks trimmed, `raise_exception` for refusals.

    Raises:
        InvalidArgument: the template refuses the conversation, as some do when roles do not alternate.
        FailedPrecondition: the template is faulty.
    """
    values = [{"role": message.role, "content": message.content} for message in messages]
    try:
        return _compiled(template).render(messages=values, add_generation_prompt=True, **special_tokens)
    except _Refused as exc:
        raise InvalidArgument("chat.messages", f"the model's chat template refuses them: {exc.message}") from exc
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as exc:
        raise FailedPrecondition(f"the model's chat template fails: {exc}", reason="CHAT_TEMPLATE") from exc


@lru_cache(maxsize=64)
def _compiled(template: str) -> Template:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.globals["raise_exception"] = _refuse
    return environment.from_string(template)


def _refuse(message: Any) -> NoReturn:
    raise _Refused(str(message))
