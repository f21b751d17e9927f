"""A customer's own layers: made from their package, tried before anything is trained, and written as ONNX.

What is served is that graph, so a module that cannot be written is refused at once and not after the training.
"""

import contextlib
import io
import json
import warnings
from typing import Any

import numpy as np
import torch
from torch import nn

from symbiont.bundle import own_module as file
from symbiont.common.errors import IntegrityError
from symbiont.training import own_modules
from symbiont.training.heads.layers import HeadLayers
from symbiont.training.spec import OwnModule as Asked
from symbiont.training.worker.errors import Unusable

MOST_OUTPUTS = 4096
_ROWS = 3


def make(asked: Asked, width: int) -> tuple[nn.Module, int]:
    """Returns the module that a spec asks for, for so many inputs, and how many outputs it has.

    Raises:
        Unusable: it is not installed, does not take the settings, or gives something else than [rows, outputs].
    """
    point = own_modules.installed().get(asked.name)
    if point is None:
        raise Unusable(own_modules.unknown(asked.name))
    try:
        module = point.load()(width, **json.loads(asked.settings or "{}"))
    except Exception as exc:
        raise Unusable(f"the module {asked.name!r} cannot be made with these settings: {_said(exc)}") from exc
    if not isinstance(module, nn.Module):
        raise Unusable(f"the module {asked.name!r} is a {type(module).__name__}, not a torch.nn.Module")
    return module, _outputs(asked.name, module, width)


def _outputs(name: str, module: nn.Module, width: int) -> int:
    training = module.training
    try:
        with torch.no_grad():
            given = module.eval()(torch.zeros(_ROWS, width))
    except Exception as exc:
        raise Unusable(f"the module {name!r} does not take fp32 [rows, {width}]: {_said(exc)}") from exc
    module.train(training)
    shape = tuple(given.shape) if isinstance(given, torch.Tensor) and given.dtype == torch.float32 else None
    if shape is None or len(shape) != 2 or shape[0] != _ROWS or not 1 <= shape[1] <= MOST_OUTPUTS:
        problem = f"it should give fp32 [rows, 1 to {MOST_OUTPUTS}], and gives {shape or type(given).__name__}"
        raise Unusable(f"the module {name!r} is not for a head: {problem} for {_ROWS} rows")
    return shape[1]


def export(head: nn.Module, name: str) -> bytes:
    """Returns the own module of a head as a file for a bundle, which computes here what the module does.

    Raises:
        Unusable: it cannot be written so; the message says why.
    """
    assert isinstance(head, HeadLayers)  # noqa: S101 - other heads take none
    assert head.own is not None  # noqa: S101 - the caller asks for one that is there
    # This loads OpenVINO, which takes a second and is needed here only.
    from symbiont.engine.own_module import TOLERANCE, OwnModule

    module, width, outputs = head.own, head.fused, head.own_outputs
    training = module.training
    rows = np.random.default_rng(0).normal(size=(_ROWS, width)).astype(np.float32)
    try:
        content = _write(module.eval(), torch.from_numpy(rows))
        file.check(content, width, outputs)
        found = OwnModule(content, width)(rows)
        with torch.no_grad():
            expected = module(torch.from_numpy(rows)).numpy()
    except IntegrityError as exc:
        raise Unusable(f"the module {name!r} cannot be served: {exc}") from exc
    except Exception as exc:
        raise Unusable(f"the module {name!r} cannot be written as ONNX: {_said(exc)}") from exc
    finally:
        module.train(training)
    if not np.abs(found - expected).max() <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise Unusable(f"the module {name!r} gives other values as ONNX: is all of it tensor arithmetic in eval mode?")
    return content


def _write(module: nn.Module, rows: torch.Tensor) -> bytes:
    # The exporter speaks to whoever tries things out, and warns of its own insides.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program: Any = torch.onnx.export(
            module,
            (rows,),
            dynamo=True,
            verbose=False,
            opset_version=file.OPSET,
            input_names=[file.INPUT],
            output_names=[file.OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("rows")},),
        )
    return _bare(program.model_proto)


def _bare(model: Any) -> bytes:
    """Returns a model without what tells of the code that it was written from: its lines, and where they are."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]
    return bytes(model.SerializeToString(deterministic=True))


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:300]}"
