"""Writes the dashboards as Grafana reads them: python deploy/grafana/generate.py [--check]

With --check nothing is written, and the exit status is 1 when a file is not what it should be.
"""

import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from boards import inference, models, overview, tenants, tokenization, training, triton

FOLDER = Path(__file__).parent / "dashboards"
PAGES = tuple(module.PAGE for module in (overview, inference, tokenization, training, tenants, models, triton))


def files() -> dict[str, str]:
    """Returns the text of every dashboard by its file's name."""
    encoder = JSONEncoder(sort_keys=True, indent=1)
    return {f"{page.name}.json": encoder.encode(page.build()) + "\n" for page in PAGES}


def differing() -> list[str]:
    """Returns the names of the files that are not as they should be, those that should not be there included."""
    wanted = files()
    found = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def main() -> None:
    """Writes or checks."""
    if "--check" in sys.argv[1:]:
        if stale := differing():
            sys.exit(f"not what generate.py writes: {', '.join(stale)}; run `make dashboards`")
        return
    for name, text in files().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
