"""Asks the served model about the rows to judge by, and measures how long single calls take."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from symbiont.client import AnswerSpans, Classification, Client, Input, NotFoundError, Prediction

ROWS_A_CALL = 16
SINGLE_CALLS = 50
# A promotion reaches inference within moments, not at once.
_PROMOTION_SECONDS = 30.0


@dataclass(frozen=True)
class Answers:
    """What was served.

    Attributes:
        seconds: of single calls of one row, sorted.
        sure: of each row, how sure the answer is: its best probability, or cosine; empty where that is not known.
    """

    predictions: tuple[Prediction, ...]
    version: str
    bundle_digest: str
    seconds: tuple[float, ...]
    sure: tuple[float, ...] = ()

    def percentile(self, share: float) -> float:
        """Returns a percentile of the latency of single calls, in milliseconds."""
        return 1e3 * self.seconds[min(int(share * len(self.seconds)), len(self.seconds) - 1)]


def ask(client: Client, model: str, inputs: Sequence[Input], version: str = "", top_k: int = 0) -> Answers:
    """Returns the answers to inputs, in their order.

    Args:
        model: `model@alias`.
        version: name of the version that must answer; it is waited for after a promotion.
        top_k: as of `Client.predict`.
    """
    wait_for(client, model, inputs[0], version, top_k)
    found: list[Prediction] = []
    for start in range(0, len(inputs), ROWS_A_CALL):
        answer = client.predict(model, inputs[start : start + ROWS_A_CALL], top_k)
        found += answer.predictions
    seconds = []
    for one in inputs[:SINGLE_CALLS]:
        began = time.perf_counter()
        client.predict(model, [one], top_k)
        seconds.append(time.perf_counter() - began)
    known = isinstance(found[0].result, Classification | AnswerSpans)
    sure = tuple(map(sure_of, found)) if known else ()
    return Answers(tuple(found), answer.model_version, answer.bundle_digest, tuple(sorted(seconds)), sure)


def sure_of(prediction: Prediction) -> float:
    """Returns how sure an answer is: the best probability of a class, or of a span, or of there being none."""
    match prediction.result:
        case AnswerSpans(spans=spans, no_answer_probability=none):
            return spans[0].probability if spans else none
        case _:
            return prediction.classes[0].probability


def wait_for(client: Client, model: str, first: Input, version: str, top_k: int = 0) -> None:
    """Waits until a model answers, with this version where one is named; the last refusal is raised."""
    end = time.monotonic() + _PROMOTION_SECONDS
    while True:
        try:
            answer = client.predict(model, [first], top_k)
            if version in ("", answer.model_version) or time.monotonic() > end:
                return
        except NotFoundError:
            if time.monotonic() > end:
                raise
        time.sleep(0.2)
