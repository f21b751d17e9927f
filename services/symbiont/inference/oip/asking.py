"""What a call asks for beside its inputs, held against the model's task before anything is computed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from symbiont.bundle import MultiLabelHead
from symbiont.common.errors import InvalidArgument
from symbiont.inference.oip.reading import Batch, TokenRows
from symbiont.inference.oip.signature import (
    EMBEDDING,
    INPUT_IDS,
    LOGITS,
    OF_PAIRS,
    OF_TEXTS,
    PROBABILITIES,
    TEXT,
    TEXT_PAIR,
    outputs_of,
)
from symbiont.inference.oip.tensors import Tensor
from symbiont.inference.predictor import MAX_CLASSES
from symbiont.inference.reference import ModelReference
from symbiont.inference.types import BundleInfo, PredictCall

# Numbers in an answer: 16 MiB of fp32.
MAX_VALUES = 4 << 20
CLASSIFYING = ("classification", "multi_label")
# Whose results `threshold`, `top_k` and `offset_unit` shape.
ON_TOKENS = ("entities", "spans")
OPTIONS = ("threshold", "top_k", "offset_unit")


@dataclass(frozen=True)
class RequestedOutput:
    """An output that the caller wants; `classes` above 0 asks for that many as `value:index:label`."""

    name: str
    classes: int = 0


@dataclass(frozen=True)
class InferCall:
    """A call as it came.

    Attributes:
        wanted: the outputs asked for; none asks for all.
        options: what Predict has too; it has no instances yet.
        given: the parameters that were given, by name.
    """

    reference: ModelReference
    tensors: Sequence[Tensor]
    wanted: Sequence[RequestedOutput]
    options: PredictCall
    given: frozenset[str] = frozenset()


def check_options(call: InferCall, batch: Batch, bundle: BundleInfo) -> None:
    """Refuses a parameter that would change nothing in this call, or whose value is out of range."""
    kind, by_text = bundle.head.kind, not isinstance(batch, TokenRows)
    useful: tuple[str, ...] = ()
    if kind in ON_TOKENS and by_text:
        useful = OPTIONS
    elif isinstance(bundle.head, MultiLabelHead):
        useful = ("threshold",)
    for name in OPTIONS:
        if name in call.given and name not in useful:
            asked = "" if by_text else " of token ids"
            problem = f"it changes nothing in the answers of this model, whose task is {kind}{asked}"
            raise InvalidArgument(f"parameters.{name}", problem)
    if call.options.threshold is not None and not 0 <= call.options.threshold <= 1:
        raise InvalidArgument("parameters.threshold", "it is not a probability, 0 to 1", reason="THRESHOLD")
    if call.options.top_k < 0:
        raise InvalidArgument("parameters.top_k", f"{call.options.top_k} is negative", reason="TOP_K")


def outputs_to_give(call: InferCall, batch: Batch, bundle: BundleInfo) -> Sequence[RequestedOutput]:
    """Returns the outputs to give, in their order.

    Raises:
        InvalidArgument: the model has no such output, or not with these inputs, or it is asked for twice, or the answer
            would be too large; it names the output.
    """
    there = [spec.name for spec in outputs_of(bundle)]
    for output in call.wanted:
        _check_wanted(output, call.wanted, there, bundle)
        if problem := _missing(output.name, batch):
            raise InvalidArgument(output.name, problem)
    wanted = call.wanted or [RequestedOutput(name) for name in there if not _missing(name, batch)]
    _check_size([replace(output, classes=min(output.classes, bundle.head.outputs)) for output in wanted], batch, bundle)
    return wanted


def _check_wanted(
    output: RequestedOutput, wanted: Sequence[RequestedOutput], there: Sequence[str], bundle: BundleInfo
) -> None:
    if output.name not in there:
        problem = f"there is no such output; there are {', '.join(there)}"
        raise InvalidArgument(f"outputs[{output.name[:100]!r}]", problem)
    if [other.name for other in wanted].count(output.name) > 1:
        raise InvalidArgument(output.name, "it is asked for twice")
    if output.classes and (output.name != PROBABILITIES or bundle.head.kind not in CLASSIFYING):
        raise InvalidArgument(output.name, "classification: it has no numbers to choose classes by")


def _missing(output: str, batch: Batch) -> str:
    """Returns why an output cannot be given for a batch; empty when it can."""
    if isinstance(batch, TokenRows):
        return f"it is given for {TEXT}, not for {INPUT_IDS}" if output in (*OF_TEXTS, *OF_PAIRS) else ""
    if output == LOGITS:
        return f"it is given for {INPUT_IDS}, not for {TEXT}, whose tokens you do not know"
    if output in OF_PAIRS and not batch.paired:
        return f"it is given for pairs: {TEXT_PAIR} is missing"
    return f"it is given for single texts, not with {TEXT_PAIR}" if output == EMBEDDING and batch.paired else ""


def _check_size(wanted: Sequence[RequestedOutput], batch: Batch, bundle: BundleInfo) -> None:
    """Refuses a call whose answer would hold up those of others while it is written."""
    rows, width = len(batch), bundle.head.outputs
    if bundle.head.kind in ON_TOKENS:
        # Documents hold a few results of each text, whatever its length.
        width = width * batch.width if isinstance(batch, TokenRows) else 1
    if rows * width > MAX_VALUES:
        problem = f"{rows} rows of {width} values are more than {MAX_VALUES}: send fewer rows"
        raise InvalidArgument("inputs", problem, reason="ANSWER_TOO_LARGE")
    for output in wanted:
        if rows * output.classes > MAX_CLASSES:
            problem = f"classification: more than {MAX_CLASSES} classes in an answer: ask for fewer or send fewer rows"
            raise InvalidArgument(output.name, problem, reason="ANSWER_TOO_LARGE")
