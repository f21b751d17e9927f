"""Converts an encoder of transformers to an OpenVINO graph, by torch."""

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from openvino.frontend import FrontEndManager  # type: ignore[import-untyped]
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder  # type: ignore[import-untyped]
from torch import Tensor, nn

from symbiont.engine.encoders import Encoder
from symbiont.engine.inputs import lay_out
from symbiont.engine.openvino_encoder import GraphEncoder, Probe, places
from symbiont.engine.row import Ids
from symbiont.engine.runtime import Array


def convert(encoder: Encoder) -> GraphEncoder:
    """Converts by tracing: exporting the graph names no modules and takes three times as long.

    Tracing keeps only the branches that it sees, so whoever uses the graph must try it with the probes.

    Raises:
        RuntimeError: a linear module is not in the graph.
    """
    inputs = ["ids", "mask"] + ["types"] * encoder.form.has_types + ["positions"] * (encoder.facts.prefix is not None)
    # Different in size from each other and from 1; two of a mask's values, because one alone may be left out.
    examples = [torch.ones(2, 3, dtype=torch.long) for _ in inputs]
    examples[1][0, 2] = 0
    model = _translate(_Traceable(encoder.model, inputs).eval(), tuple(examples))
    found = places(model, encoder.facts)
    heads = encoder.model.config.num_attention_heads
    return GraphEncoder(
        facts=encoder.facts,
        form=encoder.form,
        model=model,
        inputs=tuple(inputs),
        linears=found.linears,
        biases=found.biases,
        attentions=found.attentions,
        heads=(heads, encoder.facts.hidden_size // heads),
        probes=_probes(encoder),
    )


def _translate(module: nn.Module, examples: tuple[Tensor, ...]) -> Any:
    """Through the frontend itself: `openvino.convert_model` reports each call to a server of its maker."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(module, examples, check_trace=False)  # type: ignore[no-untyped-call]
        # In a variable, because what is loaded refers to it without keeping it.
        decoder = TorchScriptPythonDecoder(traced, example_input=examples)
        frontend = FrontEndManager().load_by_framework("pytorch")
        return frontend.convert(frontend.load(decoder))


class _Traceable(nn.Module):
    """Inputs by position, hidden states out: nothing optional."""

    def __init__(self, encoder: nn.Module, inputs: Iterable[str]) -> None:
        super().__init__()
        self.encoder = encoder
        arguments = {
            "ids": "input_ids",
            "mask": "attention_mask",
            "types": "token_type_ids",
            "positions": "position_ids",
        }
        self._arguments = [arguments[name] for name in inputs]

    def forward(self, *inputs: Tensor) -> Tensor:
        hidden: Tensor = self.encoder(**dict(zip(self._arguments, inputs, strict=True))).last_hidden_state
        return hidden


def _probes(encoder: Encoder) -> tuple[Probe, ...]:
    """Returns rows of other lengths than those that were traced: one token, and several with two texts."""
    generator = np.random.default_rng(0)
    lengths = (1, 2, min(37, encoder.facts.max_length), 5)
    rows = [generator.integers(0, encoder.facts.vocab_size, length).astype(np.int32) for length in lengths]
    return tuple(Probe(ids, len(ids) // 2, _alone(encoder, ids, len(ids) // 2)) for ids in rows)


def _alone(encoder: Encoder, ids: Ids, start: int) -> Array:
    inputs = lay_out(encoder.form, [ids], [start], [0])
    types = {"token_type_ids": torch.from_numpy(inputs.types)} if start and encoder.form.has_types else {}
    with torch.inference_mode():
        hidden = encoder.model(input_ids=torch.from_numpy(inputs.ids), **types).last_hidden_state
    answer: Array = hidden[0].numpy()
    return answer
