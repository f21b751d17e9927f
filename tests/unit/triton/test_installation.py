import shutil

import pytest

from symbiont.common.errors import FailedPrecondition
from symbiont.triton.installation import find_triton


def _binary(wheel):
    return wheel / "pytriton" / "tritonserver" / "bin" / "tritonserver"


def test_a_named_folder_is_taken(wheel, tmp_path):
    found = find_triton(wheel, start=tmp_path)
    assert (found.binary, found.wheel) == (_binary(wheel), wheel)
    assert found.server_folder == wheel / "pytriton" / "tritonserver"


def test_a_named_binary_knows_its_wheel(wheel, tmp_path):
    assert find_triton(_binary(wheel), start=tmp_path).wheel == wheel


def test_a_named_binary_outside_a_wheel_is_complete(tmp_path):
    binary = tmp_path / "opt" / "tritonserver" / "bin" / "tritonserver"
    binary.parent.mkdir(parents=True)
    binary.touch()
    assert find_triton(binary, start=tmp_path).wheel is None


def test_the_tools_folder_is_found_from_below(wheel, tmp_path):
    shutil.copytree(wheel, tmp_path / "project" / ".tools" / "triton")
    below = tmp_path / "project" / "a" / "b"
    below.mkdir(parents=True)
    assert find_triton(start=below).wheel == tmp_path / "project" / ".tools" / "triton"


def test_the_environment_comes_before_the_tools_folder(wheel, tmp_path):
    shutil.copytree(wheel, tmp_path / "site")
    shutil.copytree(wheel, tmp_path / ".tools" / "triton")
    assert find_triton(start=tmp_path).wheel == tmp_path / "site"


def test_path_comes_last(tmp_path):
    binary = tmp_path / "nowhere" / "tritonserver"
    binary.parent.mkdir()
    binary.touch(mode=0o755)
    found = find_triton(start=tmp_path)
    assert (found.binary, found.wheel) == (binary, None)


def test_nothing_found_says_what_to_do(tmp_path):
    with pytest.raises(FailedPrecondition, match=r"pip install .*nvidia-pytriton") as caught:
        find_triton(start=tmp_path)
    assert caught.value.reason == "TRITON_MISSING"


def test_a_setting_that_names_nothing_is_an_error(wheel, tmp_path):
    shutil.copytree(wheel, tmp_path / ".tools" / "triton")
    with pytest.raises(FailedPrecondition, match="absent"):
        find_triton(tmp_path / "absent", start=tmp_path)
