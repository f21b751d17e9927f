"""What Prometheus is asked for and makes of it, and what is said where none is, or something else, or one too short."""

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from support.prometheus import HINT, find
from symbiont.cli import usage
from symbiont.cli.usage import By
from symbiont.common.errors import InvalidArgument, Unavailable

TOKENS = "symbiont_inference_tenant_tokens"
SECONDS = "symbiont_training_tenant_worker_seconds"
BASE = "symbiont_inference_base_tokens"
INFO = "symbiont_inference_base_info"


def ask(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    client = httpx.Client(base_url="http://example.org", transport=httpx.MockTransport(answer))
    monkeypatch.setattr(httpx, "Client", lambda **_: client)
    usage.usage("http://example.org", 30, usage.By.TENANT, None)


def test_nothing_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(Unavailable, match=r"example\.org.* does not answer .*--prometheus"):
        ask(monkeypatch, away)


def test_what_is_no_url_is_said() -> None:
    with pytest.raises(InvalidArgument, match=r"--prometheus: .* is no URL"):
        usage.usage("http://host:port", 30, usage.By.TENANT, None)


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(404), httpx.Response(200, text="<html>"), httpx.Response(200, json={"data": {"result": [{}]}})],
)
def test_something_else_is_there(monkeypatch: pytest.MonkeyPatch, answer: httpx.Response) -> None:
    with pytest.raises(InvalidArgument, match=r"--prometheus: .* does not answer as Prometheus does"):
        ask(monkeypatch, lambda request: answer)


def found(values: Mapping[str, float]) -> httpx.Response:
    result = [{"metric": {"tenant": name}, "value": [0, str(value)]} for name, value in values.items()]
    return httpx.Response(200, json={"data": {"result": result}})


@pytest.mark.parametrize(("days_ago", "says"), [(30.0, False), (15.0, True), (None, False)])
def test_a_prometheus_that_has_not_the_whole_time_is_told_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], days_ago: float | None, says: bool
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if "up" not in request.url.params["query"]:
            return found({"bank": 100.0})
        return found({} if days_ago is None else {"": -86_400 * days_ago})

    ask(monkeypatch, answer)
    shown = capsys.readouterr()
    assert "bank" in shown.out
    assert ("knows nothing from before" in shown.err) is says
    if says:
        began = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 15 * 86_400))
        assert began in shown.err


CASES: dict[str, tuple[By, str, int, dict[str, str], dict[str, float]]] = {
    "a pod of training was replaced: what each saw counts": (
        By.TENANT,
        SECONDS,
        7200,
        {
            SECONDS + '_total{tenant="bank", instance="a"}': "0+60x60 stale",
            SECONDS + '_total{tenant="bank", instance="b"}': "_x61 0+60x60",
        },
        {"bank": 7200},
    ),
    "two replicas of training saw the same": (
        By.TENANT,
        SECONDS,
        7200,
        {SECONDS + f'_total{{tenant="bank", instance="{one}"}}': "0+60x120" for one in "ab"},
        {"bank": 7200},
    ),
    "replicas of inference have parts": (
        By.TENANT,
        TOKENS,
        7200,
        {TOKENS + f'_total{{tenant="bank", instance="{one}"}}': "0+60x120" for one in "ab"}
        | {TOKENS + f'_created{{tenant="bank", instance="{one}"}}': "-10x120" for one in "ab"},
        {"bank": 14400},
    ),
    "all was used before the first scrape": (
        By.TENANT,
        TOKENS,
        7200,
        {TOKENS + '_total{tenant="night"}': "_x30 1000000x90", TOKENS + '_created{tenant="night"}': "_x30 1795x90"},
        {"night": 1_000_000},
    ),
    "one scrape saw it": (
        By.TENANT,
        TOKENS,
        7200,
        {TOKENS + '_total{tenant="night"}': "_x30 1000 stale", TOKENS + '_created{tenant="night"}': "_x30 1795 stale"},
        {"night": 1000},
    ),
    "what was there before does not count, though it is not there when the time begins": (
        By.TENANT,
        TOKENS,
        3600,
        {
            TOKENS + '_total{tenant="bank"}': "5000000x50 stale _x14 5000000x60",
            TOKENS + '_created{tenant="bank"}': "10x50 stale _x14 10x60",
        },
        {"bank": 0},
    ),
    "a base without a provider, and one that nobody knows, are nobody's": (
        By.PROVIDER,
        BASE,
        3600,
        {BASE + f'_total{{base="{one}"}}': "0+60x60" for one in ("aaa", "bbb", "ccc")}
        | {
            INFO + '{base="aaa", name="bases/x", provider="acme"}': "1x60",
            INFO + '{base="bbb", name="bases/y", provider=""}': "1x60",
        },
        {"acme": 3600, "(none)": 7200},
    ),
    "one content has two names, and replicas that say the same": (
        By.PROVIDER,
        BASE,
        3600,
        {BASE + f'_total{{base="{one}"}}': "0+60x60" for one in ("aaa", "bbb")}
        | {INFO + f'{{base="aaa", name="bases/{one}", provider="acme"}}': "1x60" for one in "xy"}
        | {INFO + f'{{base="bbb", name="bases/z", provider="sbert", instance="{one}"}}': "1x60" for one in "ab"},
        {"acme": 3600, "sbert": 3600},
    ),
    "replicas do not agree yet who provides a base": (
        By.PROVIDER,
        BASE,
        3600,
        {BASE + '_total{base="aaa"}': "0+60x60"}
        | {INFO + f'{{base="aaa", name="bases/x", provider="same", instance="{one}"}}': "1x60" for one in "abc"}
        | {INFO + '{base="bbb", name="bases/y", provider="old", instance="a"}': "1x60"}
        | {INFO + '{base="bbb", name="bases/y", provider="new", instance="b"}': "1x60"},
        {"same": 3600},
    ),
}


def close(query: str, label: str, name: str, value: float) -> str:
    """A query that is 1 where the one gives this value; Prometheus extends what it saw at both ends of a span."""
    named = f'label_replace(vector(1), "{label}", "{name}", "", "")'
    return f"abs(sum(({query}) and on ({label}) {named}) - {value}) <= bool {0.02 * value}"


@pytest.mark.skipif(not find("promtool"), reason=f"not installed; {HINT}")
@pytest.mark.parametrize("case", CASES)
def test_prometheus_finds_what_was_used(tmp_path: Path, case: str) -> None:
    by, counter, span, series, expected = CASES[case]
    (amount,) = (one for one in usage._AMOUNTS[by] if one.counter == counter)
    query, end = amount.query(by, span / 86_400), max(span, 7200) if by is By.TENANT else span
    sums = {f"count({query})": len(expected)} | {close(query, by.value, *one): 1 for one in expected.items()}
    tests = [
        {"expr": expr, "eval_time": f"{end}s", "exp_samples": [{"labels": "{}", "value": value}]}
        for expr, value in sums.items()
    ]
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    document = {"rule_files": [], "tests": [{"interval": "1m", "input_series": inputs, "promql_expr_test": tests}]}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(document))
    program = find("promtool")
    assert program
    done = subprocess.run([program, "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
