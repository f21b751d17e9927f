"""Candidates in the order in which they fit a query."""

from collections.abc import Sequence

from symbiont.common.errors import InvalidArgument
from symbiont.inference.instances import Query
from symbiont.inference.results import Match, Ranking
from symbiont.inference.types import PredictCall

MAX_CANDIDATES = 1000


def ranked_texts(field: str, query: Query) -> Sequence[str]:
    """Returns the candidates of a query that brings them along."""
    place = f"{field}.query"
    if query.catalogue:
        problem = "a catalogue is ranked by models whose task is embedding"
        raise InvalidArgument(f"{place}.catalogue", problem, reason="INPUT_KIND")
    if not 1 <= len(query.candidates) <= MAX_CANDIDATES:
        raise InvalidArgument(
            f"{place}.texts",
            f"{len(query.candidates)} candidates; 1 to {MAX_CANDIDATES} are ranked",
            reason="CANDIDATES",
        )
    return query.candidates


def rank(scores: Sequence[float], call: PredictCall) -> Ranking:
    """Returns the places of the scores, best first; of equal ones, the one that came first."""
    least = float("-inf") if call.threshold is None else call.threshold
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    matches = [Match(index, scores[index]) for index in order if scores[index] >= least]
    return Ranking(matches[: call.top_k or None])
