"""Signs that something is wrong with a training that goes on: what a person would want to be told."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

from symbiont.training.heads import Material
from symbiont.training.types import Progress, Warning
from symbiont.training.worker.dividing import Divided

CUT_SHARE = 0.1
IMBALANCE = 20
SPIKE, SPIKE_AFTER = 10.0, 8
RISING = 3


def of_past(divided: Divided) -> Iterator[Warning]:
    """Looks at what is known of the trainings before."""
    if divided.unknown:
        text = "rows of the version before are gone: those that judged it cannot be told, and may be learnt"
        yield Warning("HELD_OUT_UNKNOWN", f"{text}; judge by a dataset of your own, with evaluation_dataset")


def of_rows(material: Material, max_tokens: int) -> Iterator[Warning]:
    """Looks at the rows before the first step."""
    classes = [row.label for row in material.rows if isinstance(row.label, str)]
    # Of windows, one that is full is no text that was cut.
    windowed = len(material.examples) > len(material.rows)
    yield from of_texts([0 if windowed else len(example) for example in material.examples], classes, max_tokens)


def of_texts(lengths: Sequence[int], classes: Sequence[str], max_tokens: int) -> Iterator[Warning]:
    """Looks at texts of so many tokens, cut at `max_tokens`, and at the classes of those that have one."""
    cut = sum(length >= max_tokens for length in lengths) / len(lengths)
    if cut > CUT_SHARE:
        yield Warning(
            "TEXTS_CUT", f"{cut:.0%} of the texts are cut at {max_tokens} tokens: raise max_tokens, if the base allows"
        )
    counted = Counter(classes).most_common() or [("", 0)]
    (most, many), (least, few) = counted[0], counted[-1]
    if many > IMBALANCE * few:
        yield Warning(
            "CLASS_IMBALANCE",
            f"{most!r} has {many} rows and {least!r} has {few}: accuracy will say little, look at macro-F1",
        )


class Signs:
    """Looks at the numbers of a training as they come; says each thing once."""

    def __init__(self) -> None:
        self._norms: deque[float] = deque(maxlen=50)
        self._losses: list[float] = []
        self._said: set[str] = set()

    def of_progress(self, progress: Progress) -> Iterator[Warning]:
        """Looks at the gradient's norm: one far over the usual tells of a bad row or a rate that is too high."""
        norm, usual = progress.gradient_norm, median(self._norms) if len(self._norms) >= SPIKE_AFTER else 0.0
        self._norms.append(norm)
        if usual and norm > SPIKE * usual:
            yield from self._once(
                "GRADIENT_SPIKE",
                f"the gradient's norm is {norm:.3g} at step {progress.step}, {norm / usual:.0f} times the usual "
                f"{usual:.3g}: a row may be odd, or the learning rate too high",
            )

    def of_judgement(self, loss: float) -> Iterator[Warning]:
        """Looks at the loss of a checkpoint on held-out rows: one that keeps rising tells of overfitting."""
        self._losses.append(loss)
        last = self._losses[-RISING - 1 :]
        if len(last) > RISING and all(later > earlier for earlier, later in pairwise(last)):
            yield from self._once(
                "LOSS_RISING",
                f"{_worse(loss)} over {RISING} checkpoints: it learns by heart, fewer epochs would do",
            )

    def _once(self, code: str, text: str) -> Iterator[Warning]:
        if code not in self._said:
            self._said.add(code)
            yield Warning(code, text)


def _worse(loss: float) -> str:
    # Where a metric is chosen by, its negative stands for the loss.
    if loss < 0:
        return f"the metric on held-out rows has fallen to {-loss:.4g}"
    return f"the loss on held-out rows has risen to {loss:.4g}"
