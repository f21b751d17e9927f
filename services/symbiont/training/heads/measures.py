"""Measures that several heads have, counted as reports count them."""

from typing import Any

import numpy as np

from symbiont.evaluation.arrays import mean_defined, ratio


def micro_and_macro_f1(hits: Any, said: Any, true: Any) -> tuple[float, float]:
    """Returns F1 of all together, and its mean over those that are true or were said; 0 where there is none.

    Args:
        hits, said, true: how often each label, or part, was found, said and true, [labels] each.
    """
    found, both = 2.0 * np.asarray(hits), np.asarray(said, np.float64) + np.asarray(true)
    values = ratio(found.sum(), both.sum()), mean_defined(ratio(found, both))
    micro, macro = (float(value) for value in np.nan_to_num(values))
    return micro, macro
