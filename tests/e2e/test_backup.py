"""The commands of deploy/OPERATIONS.md back a suite up while it trains, and bring it back in an empty place."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from support.postgres import installed, postgres
from support.sampling import few
from support.stacks import ForkingStack, calling
from support.tiny import csv_of, labelled_rows, save_base
from support.waiting import until_sync
from symbiont.api.training.v1.training_job_pb2 import JOB_STATE_RUNNING, JOB_STATE_SUCCEEDED
from symbiont.client import Client, RequestError, training_spec
from symbiont.local import stack as stack_module
from symbiont.local.child import ProcessSpec
from symbiont.local.home import Home
from symbiont.local.services import TRAINING, process_specs
from upgrade.answers import TEXTS, named

PAGE = Path(__file__).parents[2] / "deploy/OPERATIONS.md"


def commands(title: str) -> str:
    """The block of the page that begins with this comment."""
    (found,) = re.findall(rf"```bash\n# {re.escape(title)}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(found)


@dataclass
class Place:
    """A home, and the database of its controller where that is not the home's own."""

    home: Home
    database_url: str = ""

    def environment(self, backup: Path) -> Mapping[str, str]:
        """What the commands of the page are told; keys go beside the backup."""
        path = os.pathsep.join([str(Path(sys.executable).parent), str(installed() / "bin"), os.environ["PATH"]])
        artifacts = str(self.home.artifacts)
        own = {"HOME_FOLDER": str(self.home.root), "ARTIFACTS": artifacts, "DATABASE_URL": self.database_url}
        return os.environ | own | {"BACKUP": str(backup), "KEYS": f"{backup}-of-keys", "PATH": path}

    def does(self, title: str, backup: Path) -> None:
        """Runs a block of the page, which may fail nowhere."""
        run = ["bash", "-euo", "pipefail", "-c", commands(title)]
        done = subprocess.run(run, env=self.environment(backup), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], Place]]:
    """Makes a place on a database of its kind."""
    urls: dict[Path, str] = {}
    # Controllers on one PostgreSQL share it.
    key = tmp_path / "worker.key"
    key.write_bytes(os.urandom(32))

    def specs(home: Home, *rest: object) -> list[ProcessSpec]:
        return [_told(spec, urls.get(home.root, ""), key) for spec in process_specs(home, *rest)]  # type: ignore[arg-type]

    monkeypatch.setattr(stack_module, "process_specs", specs)
    with ExitStack() as servers:

        def make(kind: str, name: str) -> Place:
            home = Home(tmp_path / name)
            urls[home.root] = servers.enter_context(postgres()) if kind == "PostgreSQL" else ""
            return Place(home, urls[home.root])

        yield make


def _told(spec: ProcessSpec, url: str, key: Path) -> ProcessSpec:
    """The process with another database, if it has one and another is given."""
    if spec.name != TRAINING or not url:
        return spec
    argv, env = spec.command()
    own = {"SYMBIONT_DATABASE_URL": url, "SYMBIONT_WORKER_KEY": str(key)}
    return replace(spec, command=lambda: (argv, {**env, **own}))


def fill(client: Client, folder: Path) -> str:
    """Leaves a model that serves and a catalogue, and returns a job that trains for long."""
    client.register_base_model("tiny", folder=save_base(folder / "tiny"))
    (folder / "rows.csv").write_bytes(csv_of(labelled_rows(96)))
    client.create_dataset("rows", folder / "rows.csv")
    common = {"base_model": "tiny", "dataset": "rows", "batch_size": 8}
    for model, head in (("mood", "classification"), ("near", "embedding")):
        job = client.create_training_job(training_spec(model=model, head=head, epochs=2, **common)).name
        list(client.watch_training_job(job))
        client.promote(client.get_training_job(job).model_version)
    client.create_catalogue("faq", "near")
    client.update_catalogue_entries("faq", [(f"entry-{n}", text) for n, (text, _) in enumerate(labelled_rows(12))])
    long = training_spec(model="long", epochs=80, checkpoint_interval=40, **common)
    return client.create_training_job(long).name


def answers(client: Client) -> object:
    """What the model and the catalogue say of the same texts, rounded to 5 digits."""
    found = client.search_catalogue("faq", TEXTS, top_k=3).rankings
    return (
        [named(each.classes) for each in client.predict("mood", TEXTS).predictions],
        [{match.id: round(match.score, 5) for match in one.matches} for one in found],
    )


def serves(client: Client) -> bool:
    """Whether what was promoted is known to inference yet."""
    try:
        answers(client)
    except RequestError:
        return False
    return True


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", few(["one machine", "PostgreSQL"], "PostgreSQL"))
def test_what_was_backed_up_while_it_trained_answers_and_trains_on(
    kind: str, places: Callable[[str, str], Place], tmp_path: Path
) -> None:
    before, after, backup = places(kind, "before"), places(kind, "after"), tmp_path / "backup"
    for folder in (backup, tmp_path / "backup-of-keys"):
        folder.mkdir()
    with ForkingStack(before.home) as stack:
        stack.wait_ready()
        with calling(stack) as client:
            job = fill(client, tmp_path)
            until_sync(lambda: serves(client), 60)
            said = answers(client)
            until_sync(lambda: client.get_training_job(job).progress.step > 60, 120)
            before.does(f"back up: {kind}", backup)
            before.does("back up the keys: one machine", backup)
            assert client.get_training_job(job).state == JOB_STATE_RUNNING
            client.cancel_training_job(job)
    after.does("restore the keys: one machine", backup)
    after.does(f"restore: {kind}", backup)
    with ForkingStack(after.home) as stack:
        stack.wait_ready()
        with calling(stack) as client:
            until_sync(lambda: serves(client), 60)
            assert answers(client) == said
            events = list(client.watch_training_job(job))
            assert client.get_training_job(job).state == JOB_STATE_SUCCEEDED
            lines = [event.log_line.text for event in events if event.WhichOneof("event") == "log_line"]
            assert any(line.startswith("resuming after step ") for line in lines)
