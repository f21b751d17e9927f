"""What a precision means on a CPU."""

import logging

import pytest

from symbiont.engine import precision
from symbiont.engine.precision import Chosen, choose, has_int8_dot_products

VNNI = "processor\t: 0\nflags\t\t: fpu sse avx2 avx512f avx512_vnni\n"
AVX2 = "processor\t: 0\nflags\t\t: fpu sse avx2 fma\nbugs\t\t: spectre_v1\n"


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        (VNNI, True),
        (VNNI.replace("avx512_vnni", "avx_vnni"), True),
        (VNNI.replace("avx512_vnni", "amx_bf16 amx_int8"), True),
        ("processor\t: 0\nFeatures\t: fp asimd asimddp\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd i8mm\n", True),
        (AVX2, False),
        # Another line says the word.
        (AVX2 + "bugs\t\t: avx512_vnni\n", False),
        ("", False),
    ],
)
def test_int8_is_fast_where_bytes_are_multiplied_and_added_in_one_go(cpuinfo: str, expected: bool) -> None:
    assert has_int8_dot_products(cpuinfo) is expected


@pytest.mark.parametrize("has_bf16", [True, False])
@pytest.mark.parametrize("cpuinfo", [VNNI, AVX2])
def test_auto_takes_what_the_cpu_has_and_the_others_what_they_say(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cpuinfo: str, has_bf16: bool
) -> None:
    monkeypatch.setattr(precision, "_cpuinfo", lambda: cpuinfo)
    monkeypatch.setattr(precision, "_has_bf16", lambda: has_bf16)
    low = "bf16" if has_bf16 else "fp32"
    assert choose("auto") == Chosen(low, cpuinfo is VNNI)
    assert choose("fp32") == Chosen("fp32", False)
    assert choose("int8") == Chosen("fp32", True)
    with caplog.at_level(logging.WARNING):
        assert choose("bf16") == Chosen(low, False)
    assert ("no bf16" in caplog.text) is not has_bf16
