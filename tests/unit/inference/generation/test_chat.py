"""Chat templates give what transformers makes of them, and can do no more than that."""

from pathlib import Path

import pytest

from support.language_models import CHAT_TEMPLATE, library_tokenizer, save_language_model
from symbiont.common.errors import FailedPrecondition, InvalidArgument
from symbiont.inference.generation.chat import render
from symbiont.inference.generation.types import Message

TURNS = [
    Message("system", "Be brief."),
    Message("user", "Hi <s> {{ 1 }}"),
    Message("assistant", "你好"),
    Message("user", "?"),
]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
TEMPLATES = [
    CHAT_TEMPLATE,
    "{%- for m in messages -%}\n    {%- if loop.first %}{% continue %}{% endif %}\n  [{{ m.role }}]\n {{ m.content }}\n"
    "{%- endfor %}\n  {% if add_generation_prompt %}\n  >>>{% endif %}\n{{ eos_token }}",
]


@pytest.mark.parametrize("template", TEMPLATES)
def test_it_is_what_transformers_makes(tmp_path: Path, template: str) -> None:
    save_language_model(tmp_path)
    tokenizer = library_tokenizer(tmp_path)
    turns = [{"role": turn.role, "content": turn.content} for turn in TURNS]
    expected = tokenizer.apply_chat_template(turns, chat_template=template, tokenize=False, add_generation_prompt=True)
    assert render(template, TURNS, TOKENS) == expected


def test_a_template_may_refuse() -> None:
    with pytest.raises(InvalidArgument, match="the last turn must be the user's") as caught:
        render(CHAT_TEMPLATE, TURNS[:1], TOKENS)
    assert caught.value.field == "chat.messages"


@pytest.mark.parametrize(
    "template",
    [
        "{% for %}",
        "{{ messages[9].content.x.y }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ 1 / 0 }}",
    ],
)
def test_a_faulty_or_hostile_template_is_refused(template: str) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        render(template, TURNS, TOKENS)
    assert caught.value.reason == "CHAT_TEMPLATE"
