"""Tokens and names: what the key can do, and what nobody can."""

import builtins
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbiont.common.errors import FailedPrecondition, IntegrityError, InvalidArgument
from symbiont.common.sealing import Sealer, masked, open_sealer

ONE, OTHER = Sealer(b"1" * 32), Sealer(b"2" * 32)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=200))
def test_a_token_is_the_same_and_goes_back(value: str) -> None:
    token = ONE.seal("PERSON", value)
    assert token == ONE.seal("PERSON", value) != OTHER.seal("PERSON", value)
    assert ONE.unseal(f"a {token} b") == (f"a {value} b", 1)


def test_another_key_another_kind_or_a_change_is_refused() -> None:
    token = ONE.seal("PERSON", "Ann")
    for wrong in (token.replace("PERSON", "PHONE"), token[:-2] + ("A" if token[-2] != "A" else "B") + "}"):
        with pytest.raises(IntegrityError, match="not made with this key"):
            ONE.unseal(wrong)
    with pytest.raises(IntegrityError):
        OTHER.unseal(token)


def test_what_is_no_token_stays() -> None:
    text = "{PERSON} {PERSON:short} {PERSON-abc} {person:" + "a" * 30 + "}"
    assert ONE.unseal(text) == (text, 0)
    assert masked("PERSON", "Ann") == "{PERSON}"


def test_names_do_not_collide_and_depend_on_the_kind() -> None:
    assert len({ONE.name("PERSON", str(n)) for n in range(20_000)}) == 20_000
    assert ONE.name("PERSON", "1")[7:] != ONE.name("PHONE", "1")[6:]


def test_a_key_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"1" * 32 + b"\n")
    assert open_sealer(file).key_id == ONE.key_id != OTHER.key_id
    file.write_bytes(b"short")
    with pytest.raises(InvalidArgument, match="at least 32"):
        open_sealer(file)
    with pytest.raises(InvalidArgument, match="No such file"):
        open_sealer(tmp_path / "none")


def test_without_cryptography_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("cryptography"):
            raise ImportError(name=name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert ONE.name("PERSON", "Ann")
    with pytest.raises(FailedPrecondition, match=r"symbiont\[pii\]"):
        ONE.seal("PERSON", "Ann")
