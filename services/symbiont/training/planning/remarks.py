"""What a person would want to be told before this is trained."""

from collections.abc import Iterator, Sequence

import numpy as np

from symbiont.training.planning.texts import Repetition, hashes
from symbiont.training.types import Warning
from symbiont.training.worker.task import Texts

# Of the texts, that occur more than once.
REPEATED_SHARE = 0.05


def of_repetition(repeated: Repetition, row_count: int) -> Iterator[Warning]:
    """Looks at what occurs more than once."""
    if repeated.duplicate_fraction > REPEATED_SHARE:
        share = f"{repeated.duplicate_fraction:.0%} of the {row_count} texts occur more than once"
        yield Warning("TEXTS_REPEATED", f"{share}: they count more than others, and take their time each time")
    if repeated.contradictory_count:
        number = f"{repeated.contradictory_count} text{'s occur' if repeated.contradictory_count > 1 else ' occurs'}"
        yield Warning("LABELS_CONTRADICT", f"{number} with more than one label: nothing can be learnt from such rows")


def of_leaks(kept: Texts, held: Texts) -> Iterator[Warning]:
    """Looks for held-out texts among those that are learnt from."""
    both = int(np.isin(hashes(held.texts), hashes(kept.texts)).sum())
    if both:
        share = f"{both} of the {len(held.texts)} held-out texts ({both / len(held.texts):.1%})"
        yield Warning(
            "ROWS_LEAKED", f"{share} are among those that are learnt from: quality will look better than it is"
        )


def of_sample(counted: int, row_count: int) -> Iterator[Warning]:
    """Says when not all texts were counted."""
    if counted < row_count:
        yield Warning("SAMPLED", f"lengths, and what follows from them, are those of {counted} of {row_count} texts")


def of_labels_unseen(labels: Sequence[str], kept: Texts) -> Iterator[Warning]:
    """Looks for labels that no row teaches."""
    unseen = sorted(set(labels) - set(kept.labels))
    if unseen:
        more = f" and {len(unseen) - 1} more" if len(unseen) > 1 else ""
        yield Warning("LABELS_UNSEEN", f"no row has the label {unseen[0]!r}{more}: it will not be answered")


def of_ranks(ranks: int, threads: int) -> Iterator[Warning]:
    """Says what an estimate for several ranks rests on."""
    if ranks > 1:
        yield Warning(
            "RANKS_ASSUMED",
            f"one of {ranks} ranks was tried, on {threads} threads and its share of the rows: it is assumed that the "
            "others have as many of their own, and that exchanging gradients takes a tenth of a step; memory is that "
            "of one rank",
        )


def of_company(jobs: int) -> Iterator[Warning]:
    """Says when the probe had to share the machine with jobs that leave no place free."""
    if jobs:
        yield Warning(
            "BESIDE_JOBS",
            f"measured beside {jobs} running job{'s' if jobs > 1 else ''}, by processor time: how well it spreads over "
            "the threads of a free machine is a guess, hence the wide interval",
        )


def of_place(*, elsewhere: bool) -> Iterator[Warning]:
    """Says when what was tried is not the machine that will train."""
    if elsewhere:
        text = "tried on the machine of the training service, and workers run elsewhere: a faster machine takes less"
        yield Warning("TRIED_ELSEWHERE", text)
