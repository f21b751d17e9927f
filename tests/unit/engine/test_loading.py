import importlib.util
import sys

import pytest

from symbiont.common.errors import NotFound
from symbiont.engine.loading import load_runtime
from symbiont.engine.openvino_runtime import OpenVinoRuntime
from symbiont.engine.settings import HostSettings
from symbiont.engine.torch_runtime import TorchRuntime


@pytest.mark.parametrize(
    ("settings", "kind"),
    [({}, OpenVinoRuntime), ({"runtime": "torch"}, TorchRuntime), ({"runtime": "openvino"}, OpenVinoRuntime)],
)
def test_on_cpu_the_default_is_openvino(world, settings, kind):
    runtime = load_runtime(HostSettings(world.store.root, world.base, threads=1, **settings), world.store)
    assert isinstance(runtime, kind)
    assert runtime.facts == world.runtime.facts


def test_without_openvino_the_default_is_torch_and_the_log_says_so(world, monkeypatch, caplog):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "openvino" else find(name))
    monkeypatch.setitem(sys.modules, "symbiont.engine.openvino_runtime", None)
    runtime = load_runtime(HostSettings(world.store.root, world.base, threads=1), world.store)
    assert isinstance(runtime, TorchRuntime)
    assert "openvino is not installed" in caplog.text


def test_a_missing_base_is_refused_before_anything_is_imported(world, monkeypatch):
    monkeypatch.setitem(sys.modules, "symbiont.engine.torch_runtime", None)
    with pytest.raises(NotFound):
        load_runtime(HostSettings(world.store.root, "a" * 64), world.store)
