"""A bounded number is kept, the newest."""

from datetime import UTC, datetime
from typing import Any

from symbiont.inference.releases.disagreements import Disagreement, Disagreements
from symbiont.inference.releases.verdict import Verdict


def test_the_newest_are_kept_and_listed_first(version: Any) -> None:
    kept = Disagreements(3)
    for number, name in enumerate(["a", "b", "a", "a"]):
        yes, no = Verdict("yes", 0.9), Verdict("no", 0.8)
        now = datetime.now(UTC)
        kept.add(Disagreement(name, str(number), version("x", 1), yes, version("x", 2), no, now))
    assert [(number, each.input_sha256) for number, each in kept.of("a")] == [(4, "3"), (3, "2")]
    assert [each.input_sha256 for _, each in kept.of("b")] == ["1"]
    assert kept.of("c") == []
