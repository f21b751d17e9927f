"""What `up` leaves behind when it is stopped in the middle of a training, and takes up again."""

from pathlib import Path

from support.stacks import ForkingStack, calling
from support.tiny import csv_of, labelled_rows, save_base
from support.waiting import until_sync
from symbiont.cli.target import endpoints_of
from symbiont.client import Endpoints, training_spec
from symbiont.local.home import Home
from symbiont.local.processes import find
from symbiont.local.stack import Stack


def endpoints(stack: Stack) -> Endpoints:
    """Where the services of a stack are."""
    return endpoints_of(stack.record.addresses)


def test_a_stopped_suite_goes_on_where_it_was(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    (tmp_path / "rows.csv").write_bytes(csv_of(labelled_rows(64)))
    with ForkingStack(home) as stack:
        stack.wait_ready()
        with calling(stack) as client:
            client.register_base_model("tiny", folder=save_base(tmp_path / "tiny"))
            client.create_dataset("rows", tmp_path / "rows.csv")
            # No checkpoint is due before the end: only the stop can make one.
            spec = training_spec(
                base_model="tiny", dataset="rows", model="mood", epochs=90, batch_size=4, checkpoint_interval=1_000_000
            )
            job = client.create_training_job(spec).name
            until_sync(lambda: client.get_training_job(job).progress.step > 0, 60)
        (worker,) = home.workers()
    assert find(worker) is None
    assert home.read_run() is None
    # Every process as a user has it: in other tests they are forks of what has loaded them.
    with Stack(home) as stack:
        stack.wait_ready()
        with calling(stack) as client:
            events = list(client.watch_training_job(job))
            assert [e.event_id for e in events] == list(range(1, len(events) + 1))
            lines = [e.log_line.text for e in events if e.WhichOneof("event") == "log_line"]
            assert any(line.startswith("resuming after step ") for line in lines)
            reasons = [e.state_change.reason for e in events if e.WhichOneof("event") == "state_change"]
            assert "the worker stopped as asked" in reasons
            version = client.get_training_job(job).model_version
            bundles = (home.artifacts / "bundles").iterdir()
            assert client.get_model_version(version).bundle_digest in {folder.name for folder in bundles}
