"""Judges versions on held-out rows: what they said, how good that is and how surely, and whether they may take over.

It needs numpy alone, knows no service, and keeps no text. An outcome is what a version said, `storing` keeps it beside
the version; `make_report` finds out all there is, `render_page` shows it to people, and a `Gate` decides.
"""

from symbiont.evaluation.aligning import Aligned, align
from symbiont.evaluation.bootstrap import Sampling, estimates
from symbiont.evaluation.calibration import judge_calibration
from symbiont.evaluation.comparison import compare, mcnemar
from symbiont.evaluation.decisions import Costs, decide, judge_decisions, label_thresholds, thresholds
from symbiont.evaluation.figures import Estimate, Origin, Speed, Verdict
from symbiont.evaluation.gate import (
    CalibrationLimit,
    Evidence,
    Floor,
    Gate,
    LatencyLimit,
    MinimumGain,
    NoClassWorse,
    NoSliceWorse,
    NotWorse,
    SliceFloor,
)
from symbiont.evaluation.hard_rows import hardest
from symbiont.evaluation.making.answers import answered
from symbiont.evaluation.making.retrieval import cosines, retrieved
from symbiont.evaluation.making.tags import parts_by_row, parts_of_tags
from symbiont.evaluation.metrics import primary
from symbiont.evaluation.metrics.multi_label import best_thresholds
from symbiont.evaluation.outcomes import (
    Answered,
    Classified,
    Compared,
    MultiLabelled,
    Outcome,
    Ragged,
    Retrieved,
    Scored,
    Tagged,
    ragged,
)
from symbiont.evaluation.page import render_page
from symbiont.evaluation.report import Report, make_report
from symbiont.evaluation.rows import Rows, Slice, place_of, row_id, rows_at, rows_of
from symbiont.evaluation.slices import slice_table, worst_slices
from symbiont.evaluation.storing import outcome_from_bytes, outcome_to_bytes
from symbiont.evaluation.temperature import fit_sigmoid_temperature, fit_temperature

__all__ = [
    "Aligned",
    "Answered",
    "CalibrationLimit",
    "Classified",
    "Compared",
    "Costs",
    "Estimate",
    "Evidence",
    "Floor",
    "Gate",
    "LatencyLimit",
    "MinimumGain",
    "MultiLabelled",
    "NoClassWorse",
    "NoSliceWorse",
    "NotWorse",
    "Origin",
    "Outcome",
    "Ragged",
    "Report",
    "Retrieved",
    "Rows",
    "Sampling",
    "Scored",
    "Slice",
    "SliceFloor",
    "Speed",
    "Tagged",
    "Verdict",
    "align",
    "answered",
    "best_thresholds",
    "compare",
    "cosines",
    "decide",
    "estimates",
    "fit_sigmoid_temperature",
    "fit_temperature",
    "hardest",
    "judge_calibration",
    "judge_decisions",
    "label_thresholds",
    "make_report",
    "mcnemar",
    "outcome_from_bytes",
    "outcome_to_bytes",
    "parts_by_row",
    "parts_of_tags",
    "place_of",
    "primary",
    "ragged",
    "render_page",
    "retrieved",
    "row_id",
    "rows_at",
    "rows_of",
    "slice_table",
    "thresholds",
    "worst_slices",
]
