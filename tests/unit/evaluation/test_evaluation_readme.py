"""The example of the README runs."""

import re
from pathlib import Path

import numpy as np

import symbiont.evaluation
from support.outcomes import classified


def test_the_example_runs() -> None:
    readme = Path(symbiont.evaluation.__file__).with_name("README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    outcome, random = classified(80), np.random.default_rng(0)
    given = {
        "texts": [f"secret text {index}" for index in range(80)],
        "lengths": random.integers(1, 300, 80).tolist(),
        "customers": random.choice(["a", "b", "c"], 80).tolist(),
        "languages": random.choice(["en", "zh"], 80).tolist(),
        "prices": random.random(80).tolist(),
        "labels": outcome.labels,
        "logits": outcome.logits,
        "truth": outcome.truth,
        "incumbent": outcome,
    }
    exec(compile(example, "README.md", "exec"), given)
    assert given["report"].comparison.rows == 80
