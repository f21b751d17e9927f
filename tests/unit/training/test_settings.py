"""Settings that cannot work are refused at the start."""

import pytest

from symbiont.training.settings import TrainingSettings


def test_workers_must_be_able_to_dial() -> None:
    with pytest.raises(ValueError, match="controller_address must say"):
        TrainingSettings(address="127.0.0.1:0")
    assert TrainingSettings(address="127.0.0.1:0", controller_address="host:1").controller_address == "host:1"


def test_with_tls_local_workers_need_a_certificate_of_their_own() -> None:
    tls = dict.fromkeys(("tls_certificate", "tls_key", "tls_clients_ca"), "/files/x.pem")
    with pytest.raises(ValueError, match="worker_tls_certificate and worker_tls_key must name files"):
        TrainingSettings(insecure=False, **tls)  # type: ignore[arg-type]
    assert TrainingSettings(insecure=False, **tls, executor="ray")  # type: ignore[arg-type]
    own = dict.fromkeys(("worker_tls_certificate", "worker_tls_key"), "/files/worker.pem")
    assert TrainingSettings(insecure=False, **tls, **own)  # type: ignore[arg-type]


def test_every_problem_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["symbiont-training"])
    monkeypatch.setenv("SYMBIONT_MAX_CONCURRENT_JOBS", "0")
    monkeypatch.setenv("SYMBIONT_POLL_SECONDS", "soon")
    with pytest.raises(SystemExit) as caught:
        TrainingSettings.from_command_line("symbiont-training", "")
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert "SYMBIONT_MAX_CONCURRENT_JOBS (--max-concurrent-jobs)" in told
    assert "SYMBIONT_POLL_SECONDS (--poll-seconds)" in told
