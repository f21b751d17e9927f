"""A training service of its own, with a folder of keys and rows with planted faults."""

from collections.abc import Iterator

import pytest

from support.planted import flipped, labelled, nearly
from support.service import ServiceProcess
from support.training_suite import Suite
from symbiont.training.data.rows import Row


def csv_of(rows: list[Row]) -> bytes:
    return "\n".join(["text,label", *(f'"{row.text}",{row.label}' for row in rows)]).encode()


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """With datasets/held, and datasets/raw: 303 rows, 15 labels flipped, one mail address, two rows repeated."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "keys").mkdir()
    (folder / "keys" / "main").write_bytes(b"k" * 40)
    (folder / "keys" / "short").write_bytes(b"k")
    # The tokenization service is not asked.
    suite = Suite(folder, ServiceProcess, dataset_keys=folder / "keys")
    suite.training.start()
    rows, _ = flipped(labelled(300), 0.05)
    suite.upload("raw", csv_of([*rows, Row("<b>write</b> to ann@example.cn", "card"), rows[3], nearly(rows[5], 0)]))
    suite.upload("held", csv_of(rows[:10]))
    yield suite
    suite.channel.close()
    assert suite.training.stop() == 0
