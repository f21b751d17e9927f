"""Draws dashboards from a Prometheus: serves the built page and the dashboards' files, and has Chromium draw them."""

import json
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode

from PIL import Image
from typing_extensions import override

from support.dashboards import FOLDER, GRAFANA, ROOT, Dashboard

# Where `make observe-pictures` has npm build the page.
BUILD = ROOT / ".tools/pictures/build"
BROWSER = shutil.which("chromium")
# As in src/main.tsx.
WIDTH, ROW, HEAD, MARGIN = 1400, 38, 78, 10
# Time of the page's own clock, which stands still while it waits for an answer.
BUDGET_MS = 20_000
COLORS = 256


class _Files(SimpleHTTPRequestHandler):
    @override
    def translate_path(self, path: str) -> str:
        name = path.partition("?")[0]
        return str(FOLDER / Path(name).name) if name.startswith("/dashboards/") else super().translate_path(path)

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served() -> Iterator[str]:
    """Serves the page; yields its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(BUILD)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/index.html"
    finally:
        server.shutdown()
        server.server_close()


def draw(dashboard: Dashboard, page: str, prometheus: str, seconds: int, picture: Path) -> None:
    """Writes a picture of a dashboard over the last `seconds`."""
    span = {"__range": f"{seconds}s", "__range_s": str(seconds)}
    values = GRAFANA | span | {one["name"]: one["allValue"] for one in dashboard.variables}
    asked = {
        "dashboard": dashboard.name,
        "prometheus": prometheus,
        "end": int(time.time()),
        "span": seconds,
        "variables": json.dumps(values),
    }
    places = [panel["gridPos"] for panel in dashboard.document["panels"]]
    height = max(place["y"] + place["h"] for place in places) * ROW + HEAD + MARGIN
    with tempfile.TemporaryDirectory() as profile:
        command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        command += [f"--user-data-dir={profile}", f"--window-size={WIDTH},{height}"]
        command += [f"--virtual-time-budget={BUDGET_MS}", f"--screenshot={picture}", f"{page}?{urlencode(asked)}"]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    # Lines on a plain ground need few colours: a quarter of the size.
    Image.open(picture).convert("RGB").quantize(COLORS).save(picture, optimize=True)
