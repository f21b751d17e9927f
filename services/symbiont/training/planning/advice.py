"""What to train beside the head: a head on the frozen base, learnt in closed form, says how far that alone goes."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from symbiont.training.planning.types import ONE_IN_TEN, MethodAdvice
from symbiont.training.spec import HeadOnlyMethod, LoraMethod, TrainingSpec

# From this accuracy on there is nothing left that an adapter is worth its time for, if it is also this much of the way
# from always saying the most frequent label to saying the right one.
SATURATED, SATURATED_GAIN = 0.97, 0.8
# Fewer rows a label than this are learnt by heart by whatever can.
FEW_PER_LABEL = 8
# (rows from which on, rank): more rows can fill more numbers.
RANKS = ((0, 4), (500, 8), (10_000, 16), (100_000, 32))
# And more labels than these need more directions.
MANY_LABELS = 50
# Penalties of the closed form, on features of deviation 1; the best by cross-validation on the rows learnt from.
PENALTIES = (1.0, 10.0, 100.0, 1000.0)
Features = npt.NDArray[np.float32]


def head_accuracy(features: Features, labels: Sequence[str], held: Features, truth: Sequence[str]) -> float:
    """Returns the accuracy on held-out rows of a linear head: ridge regression on one column of +-1 for each label
    (Hoerl and Kennard 1970), whose penalty is chosen by leaving one out.

    Args:
        features, held: [rows, hidden size].
        labels, truth: of their rows.
    """
    from sklearn.linear_model import RidgeClassifierCV  # type: ignore[import-untyped]

    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
    head = RidgeClassifierCV(alphas=PENALTIES).fit((features - mean) / deviation, list(labels))
    return float((head.predict((held - mean) / deviation) == np.array(truth)).mean())


@dataclass(frozen=True)
class Comparison:
    """Accuracy of the head alone and of always saying the most frequent label; rows learnt from, rows judged."""

    accuracy: float
    usual: float
    learnt: int
    judged: int

    @property
    def saturated(self) -> bool:
        """Whether the head alone gets next to all right that can be."""
        gain = (self.accuracy - self.usual) / (1 - self.usual) if self.usual < 1 else 0.0
        return self.accuracy >= SATURATED and gain >= SATURATED_GAIN


def advise(
    spec: TrainingSpec, row_count: int, label_count: int, compared: Comparison | None, head_seconds: float
) -> MethodAdvice:
    """Recommends a method.

    Args:
        row_count: rows to learn from.
        compared: None where there were too few rows to tell.
        head_seconds: what the steps of the job would take with the head alone.
    """
    reasons = [_what_the_head_does(compared)] if compared else []
    if compared and compared.saturated:
        little = f"What is missing is too little for an adapter; the head alone trains in about {head_seconds:.0f} s."
        return MethodAdvice(HeadOnlyMethod(), (*reasons, little))
    # Of heads without labels, the rows are those of one thing.
    per_label = row_count / max(label_count, 1)
    if per_label < FEW_PER_LABEL:
        few = f"{row_count} rows for {label_count} labels are {per_label:.1f} a label"
        return MethodAdvice(HeadOnlyMethod(), (*reasons, f"{few}: an adapter would learn them by heart."))
    if compared:
        reasons.append(f"An adapter may win some of the {1 - compared.accuracy:.1%} that the head alone gets wrong.")
    reasons.append(f"The head alone would train in about {head_seconds:.0f} s, should that matter more.")
    rank = rank_for(row_count, label_count)
    many = f" and more than {MANY_LABELS} labels" if label_count > MANY_LABELS else ""
    reasons.append(f"Rank {rank} suits {row_count} rows{many}: a larger one learns more of them by heart.")
    targets = spec.lora.target_modules if spec.lora else ()
    return MethodAdvice(LoraMethod(rank=rank, alpha=2.0 * rank, target_modules=targets), tuple(reasons))


def rank_for(row_count: int, label_count: int) -> int:
    """Returns the rank of LoRA for so many rows and labels."""
    rank = max(rank for least, rank in RANKS if row_count >= least)
    return 2 * rank if label_count > MANY_LABELS else rank


def usual_share(truth: Sequence[str]) -> float:
    """Returns the accuracy of always saying the most frequent label."""
    return Counter(truth).most_common(1)[0][1] / len(truth)


def _what_the_head_does(compared: Comparison) -> str:
    share, count = compared.accuracy, compared.judged
    # Nine of ten on either side; of none wrong or none right, as if half a row were.
    error = ONE_IN_TEN * math.sqrt(max(share * (1 - share), 0.5 / count) / count)
    return (
        f"On the frozen base a head that learnt from {compared.learnt} rows gets {share:.1%} (+-{error:.1%}) of "
        f"{count} held-out rows right, labels in equal numbers as far as there are rows; always the most frequent one "
        f"would be right in {compared.usual:.1%}."
    )
