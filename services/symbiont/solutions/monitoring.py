"""Rules of Prometheus for a solution that serves: drift of its own, and a control chart where it has one."""

from pathlib import Path
from typing import Any

import yaml

from symbiont.solutions.recipe import Recipe
from symbiont.solutions.warning.rules import chart_group

FILE = "prometheus-rules.yml"


def rules_of(recipe: Recipe) -> dict[str, Any]:
    """Returns the rules, as Prometheus's `rule_files` has them."""
    groups = [_model_group(recipe)]
    if recipe.monitoring.chart:
        groups.append(chart_group(recipe.solution, recipe.monitoring.chart))
    return {"groups": groups}


def write_rules(recipe: Recipe, folder: Path) -> Path:
    """Writes the rules; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    path.write_text(yaml.safe_dump(rules_of(recipe), sort_keys=False, allow_unicode=True, width=110), encoding="utf-8")
    return path


def _model_group(recipe: Recipe) -> dict[str, Any]:
    series = f'symbiont_inference_model_drift{{model="{recipe.model}"}}'
    said = "The {{ $labels.of }} of %s, version {{ $labels.version }}, are not those that it was judged by."
    return {
        "name": f"symbiont-solution-{recipe.solution}",
        "rules": [
            {
                "alert": "SymbiontSolutionDrifts",
                "expr": f"max by (model, version, of) ({series}) > {recipe.monitoring.drift:g}",
                "for": "30m",
                "labels": {"severity": "warning", "solution": recipe.solution},
                "annotations": {
                    "summary": said % recipe.title,
                    "runbook_url": "deploy/runbooks/SymbiontModelDrifts.md",
                },
            }
        ],
    }
