"""Draws every dashboard from a real Prometheus over a running suite: `make observe-pictures`.

Needs the page built by npm, Chromium and Prometheus. The pictures go to deploy/grafana/pictures, for the documents.
"""

import argparse
import tempfile
import time
from pathlib import Path

from observe.calls import traffic
from observe.everything import observed
from observe.pictures.drawing import draw, served
from support.dashboards import ROOT, dashboards

PICTURES = ROOT / "deploy/grafana/pictures"


def main() -> None:
    """Starts a suite, calls everything that it offers, and draws what is seen of that."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=300, help="time that the pictures show; default 300")
    parser.add_argument("--to", type=Path, default=PICTURES, help="folder; default deploy/grafana/pictures")
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        observed(Path(folder)) as suite,
        served() as page,
        traffic(suite) as everything_once,
    ):
        everything_once.wait(600)
        time.sleep(options.seconds)
        for dashboard in dashboards():
            draw(dashboard, page, suite.prometheus.url, options.seconds, options.to / f"{dashboard.name}.png")


if __name__ == "__main__":
    main()
