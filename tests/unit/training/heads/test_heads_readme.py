"""What the page on secondary development shows is what there is."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from symbiont.client import Client
from symbiont.training.convert import spec_from_proto
from symbiont.training.heads import __file__ as heads
from symbiont.training.heads.layers import HeadLayers
from symbiont.training.worker.own_module import export

PAGE = (Path(heads).parent / "README.md").read_text()
SPEC, MODULE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_module_of_the_page_is_served() -> None:
    space: dict[str, Any] = {}
    exec(MODULE, space)
    head = HeadLayers(6, 2, make_own=lambda width: (space["Interactions"](width, size=3), 9))
    assert head(torch.zeros(2, 6)).shape == (2, 2)
    assert export(head, "interactions")


def test_the_job_of_the_page_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(Client, "create_training_job", lambda self, spec: sent.append(spec))
    exec(SPEC, {})
    (message,) = sent
    spec = spec_from_proto(message)
    assert spec.classification is not None
    assert spec.classification.cost_matrix is not None
    assert spec.own_module is not None
    assert (spec.own_module.name, spec.own_module.settings) == ("interactions", '{"size": 16}')
