"""A spec survives the way through an environment variable, and one that would not fit is refused with a reason."""

import json
import os
import random
import subprocess
import sys

import pytest

from symbiont.common.errors import IntegrityError, InvalidArgument
from symbiont.training.executors.packing import MAX_CHARACTERS, SPEC_VARIABLE, pack_spec, unpack_spec


def labels(count: int) -> str:
    chance = random.Random(7)
    names = [f"{chance.getrandbits(128):032x}" for _ in range(count)]
    return json.dumps({"spec": {"classification": {"labels": names}}})


@pytest.mark.parametrize("spec", ["{}", '{"labels": ["客户", "$HOME ${X}", "a\\nb"]}', labels(3000)])
def test_what_was_packed_comes_out(spec: str) -> None:
    packed = pack_spec(spec)
    assert unpack_spec(packed) == spec
    # Neither shells nor Ray find anything to expand in it.
    assert packed.isascii()
    assert "$" not in packed
    assert pack_spec(spec) == packed


def test_too_many_labels_are_named_as_the_cause() -> None:
    with pytest.raises(InvalidArgument, match=rf"takes \d+ characters.*{MAX_CHARACTERS}.*labels") as caught:
        pack_spec(labels(6000))
    assert caught.value.field == "spec.classification.labels"


def test_linux_takes_the_largest() -> None:
    command = [sys.executable, "-c", f"import os; print(len(os.environ['{SPEC_VARIABLE}']))"]
    environment = {**os.environ, SPEC_VARIABLE: "A" * MAX_CHARACTERS}
    printed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    assert int(printed) == MAX_CHARACTERS


WHOLE = pack_spec(labels(10))


@pytest.mark.parametrize("packed", ["", "AAAA", "no base64!", "é", WHOLE[:-8], WHOLE[:60] + "AAAAAAAA" + WHOLE[68:]])
def test_what_is_damaged_is_refused(packed: str) -> None:
    with pytest.raises(IntegrityError, match=r"damaged|empty"):
        unpack_spec(packed)
