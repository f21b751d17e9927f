"""How far chance alone moves a figure that was measured on so many rows."""

import math

# Measures that are the share of rows which are right; of others the rows alone give no interval.
SHARES = frozenset({"accuracy", "subset_accuracy", "exact_match", "nearest_accuracy", "recall_at_1"})
_Z95 = 1.959964


def wilson(share: float, rows: int) -> tuple[float, float]:
    """Returns the 95 % interval of a share of `rows` rows, above 0 (Wilson 1927, JASA 22, 209-212)."""
    centre = (share + _Z95**2 / (2 * rows)) / (1 + _Z95**2 / rows)
    spread = _Z95 / (1 + _Z95**2 / rows) * math.sqrt(share * (1 - share) / rows + _Z95**2 / (4 * rows**2))
    return max(centre - spread, 0.0), min(centre + spread, 1.0)


def interval_of(metric: str, value: float, rows: int) -> tuple[float, float] | None:
    """Returns the interval of a measure, None where it is no share of rows."""
    return wilson(value, rows) if metric in SHARES and rows else None


def half_width(value: float, rows: int) -> float:
    """Returns about how far chance moves a measure between 0 and 1; one outside is taken for the nearest end."""
    low, high = wilson(min(max(value, 0.0), 1.0), rows) if rows else (0.0, 0.0)
    return (high - low) / 2
