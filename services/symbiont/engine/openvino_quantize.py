"""Makes the quantised form of a base: int8 weights, and activations in ranges that were seen on rows of tokens.

Post-training quantisation by NNCF, whose smoothing moves what activations have of outliers into the weights (Xiao et
al., arXiv 2211.10438). Of the rows only ranges of activations stay.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

import nncf  # type: ignore[import-untyped]
import numpy as np
from nncf.quantization.range_estimator import RangeEstimatorParametersSet  # type: ignore[import-untyped]

from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.inputs import lay_out
from symbiont.engine.openvino_encoder import GraphEncoder
from symbiont.engine.openvino_quantized import KIND, Fields
from symbiont.engine.openvino_stored import load_graph, put_graph
from symbiont.engine.row import Ids


def quantize_base(
    store: ArtifactStore, base_digest: str, rows: Sequence[Ids], say: Callable[[str], None] = lambda stage: None
) -> str:
    """Quantises a base and stores the result; returns its digest. Takes seconds to minutes.

    Args:
        store: where the base is, and where the artifact of kind `quantized` goes.
        base_digest: of the base.
        rows: [tokens] of each text, special tokens included: texts like those that it will be asked with.
        say: told each stage that follows loading, as it begins: `quantizing`, `storing`.

    Raises:
        NotFound: no such base.
        IntegrityError: the base is damaged, or its manifest does not describe it.
        RuntimeError: the graph cannot be converted or quantised.
    """
    base = load_graph(store, base_digest)
    say("quantizing")
    model = _quantize(base, list(_inputs(base, rows)))
    say("storing")
    fields = Fields(
        base_digest=base_digest,
        inputs=base.inputs,
        rows=len(rows),
        versions={package: version(package) for package in ("nncf", "openvino")},
    )
    return put_graph(store.like("bases", base_digest), KIND, model, fields)


def _inputs(base: GraphEncoder, rows: Sequence[Ids]) -> Iterator[list[Any]]:
    """Yields one row at a time: padding would count as much as tokens do."""
    for row in rows:
        inputs = lay_out(base.form, [row], [0], [0])
        yield [np.asarray(getattr(inputs, name), np.int64) for name in base.inputs]


def _quantize(base: GraphEncoder, batches: Sequence[list[Any]]) -> Any:
    # It tells each node that it leaves alone.
    nncf.set_log_level(logging.WARNING)
    return nncf.quantize(
        base.model.clone(),
        nncf.Dataset(batches, lambda batch: dict(enumerate(batch))),
        subset_size=len(batches),
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED,
        ignored_scope=nncf.IgnoredScope(names=_left_in_fp32(base)),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            # All that was seen, instead of the mean of the rows' extremes: an adapter goes further than the base.
            activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
        ),
    )


def _left_in_fp32(base: GraphEncoder) -> list[str]:
    """Returns the nodes that are not quantised: they are where int8 costs most of the accuracy.

    Tables of embeddings, of which looking up a row is no faster in int8. What attention compares, because there too
    nothing would be faster, and because an adapter of queries moves them out of the ranges of the base. And the linear
    modules that make rows narrower, the second ones of feed-forward networks: what they read has the outliers.
    """
    narrowing = {name for name, end in base.linears.items() if end.inputs > end.outputs}
    names = list(base.attentions)
    for node in base.model.get_ops():
        name, kind = node.get_friendly_name(), node.get_type_name()
        linear = name.removeprefix("__module.encoder.").partition("/aten::linear/MatMul")
        if (kind == "Gather" and "/aten::embedding/" in name) or (kind == "MatMul" and linear[0] in narrowing):
            names.append(name)
    return names
