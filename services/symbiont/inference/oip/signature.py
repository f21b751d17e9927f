"""Which tensors a model takes and gives, by its task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from symbiont.bundle import BusinessField
from symbiont.common.errors import InvalidArgument
from symbiont.inference.oip.tensors import BOOL, BYTES, FP32, FP64, INT32, INT64, Tensor, place
from symbiont.inference.types import BundleInfo

TEXT, TEXT_PAIR = "TEXT", "TEXT_PAIR"
INPUT_IDS, ATTENTION_MASK, TOKEN_TYPE_IDS = TOKENS = ("INPUT_IDS", "ATTENTION_MASK", "TOKEN_TYPE_IDS")
FIELD = "FIELD_"
PROBABILITIES, LABEL, HOLDS, SCORE = "PROBABILITIES", "LABEL", "HOLDS", "SCORE"
EMBEDDING, SIMILARITY, ENTITIES, ANSWERS, LOGITS = "EMBEDDING", "SIMILARITY", "ENTITIES", "ANSWERS", "LOGITS"
# The two of a task on tokens, and of an embedding: which one is given hangs on what is asked with.
OF_TEXTS, OF_PAIRS, OF_TOKENS = (ENTITIES, ANSWERS), (SIMILARITY,), (LOGITS,)

_OF_FIELD = {"number": (FP64, FP32), "flag": (BOOL,), "category": (BYTES,), "date": (BYTES,)}


@dataclass(frozen=True)
class Spec:
    """A tensor. The first datatype is the one that metadata tell; in the shape, -1 stands for any number."""

    name: str
    datatypes: tuple[str, ...]
    shape: tuple[int, ...] = (-1,)


def inputs_of(bundle: BundleInfo) -> Sequence[Spec]:
    """Returns what a model takes: texts or token ids, and business fields where it has any."""
    texts = [TEXT, TEXT_PAIR] if needs_pairs(bundle) or bundle.head.kind == "embedding" else [TEXT]
    return [
        *(Spec(name, (BYTES,)) for name in texts),
        *(Spec(name, (INT32, INT64), (-1, -1)) for name in TOKENS),
        *(Spec(field_name(field), _OF_FIELD[field.kind]) for field in bundle.fields),
    ]


def needs_pairs(bundle: BundleInfo) -> bool:
    """Whether a model looks at two texts together: a pair, or a question and its context."""
    return bundle.takes == "pair" or bundle.head.kind == "spans"


def field_name(field: BusinessField) -> str:
    """Returns the input of a business field."""
    return f"{FIELD}{field.name}"


def outputs_of(bundle: BundleInfo) -> Sequence[Spec]:
    """Returns what a model gives."""
    size = bundle.head.outputs
    match bundle.head.kind:
        case "classification":
            return [Spec(PROBABILITIES, (FP32,), (-1, size)), Spec(LABEL, (BYTES,))]
        case "multi_label":
            return [Spec(PROBABILITIES, (FP32,), (-1, size)), Spec(HOLDS, (BOOL,), (-1, size))]
        case "score":
            return [Spec(SCORE, (FP32,))]
        case "embedding":
            return [Spec(EMBEDDING, (FP32,), (-1, size)), Spec(SIMILARITY, (FP32,))]
        case "entities":
            return [Spec(ENTITIES, (BYTES,)), Spec(LOGITS, (FP32,), (-1, -1, size))]
        case "spans":
            return [Spec(ANSWERS, (BYTES,)), Spec(LOGITS, (FP32,), (-1, -1, size))]


def checked(tensors: Sequence[Tensor], bundle: BundleInfo) -> Mapping[str, Tensor]:
    """Returns the inputs of a call by name.

    A single column may have the shape [rows] or [rows, 1].

    Raises:
        InvalidArgument: the model has no such input, or it is given twice, in another datatype or shape, or with
            another number of rows than the first one; it names the input.
    """
    specs = {spec.name: spec for spec in inputs_of(bundle)}
    inputs: dict[str, Tensor] = {}
    for tensor in tensors:
        name, shape = tensor.name, tensor.values.shape
        if name not in specs:
            raise InvalidArgument(f"inputs[{name[:100]!r}]", f"there is no such input; there are {', '.join(specs)}")
        if name in inputs:
            raise InvalidArgument(place(name), "it is given twice")
        spec = specs[name]
        if tensor.datatype not in spec.datatypes:
            raise InvalidArgument(place(name), f"its datatype is {' or '.join(spec.datatypes)}, not {tensor.datatype}")
        column = len(shape) == 1 or shape[1] == 1
        if not (column if len(spec.shape) == 1 else len(shape) == 2):
            form = "[rows] or [rows, 1]" if len(spec.shape) == 1 else "[rows, tokens]"
            raise InvalidArgument(place(name), f"its shape is {form}, not {list(shape)}")
        inputs[name] = tensor
        if shape[0] != len(tensors[0].values):
            problem = f"it has {shape[0]} rows, {place(tensors[0].name)} has {len(tensors[0].values)}"
            raise InvalidArgument(place(name), problem)
    return inputs
