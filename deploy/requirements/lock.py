"""Writes the lock of each image: every package by its version of constraints.txt and the SHA-256 of its files.

Run by `make lock`, with the interpreter of an environment that has uv. torch and what it brings for GPUs are left out:
which build of torch an image has is its builder's choice, by the index, and each index has files of its own.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# Image -> extras, Python.
IMAGES = {
    "core": ("s3,vault,tracing", "3.11"),
    "ann": ("ann,s3,vault,tracing", "3.11"),
    "train": ("train,pii,s3,vault,kubernetes,postgresql,tracing", "3.11"),
    "ray": ("ray,train,pii,s3,vault,kubernetes,postgresql,tracing", "3.11"),
    "engine": ("engine,s3,vault", "3.12"),
}
TORCH = ("torch", "triton")
# Triton's Python backend misreads tensors of numpy 2, whatever packages ask for that the engine does not use.
OVERRIDES = {"engine": "numpy==1.26.4\n"}


def main() -> None:
    """Writes all of them."""
    for image, (extras, python) in IMAGES.items():
        with tempfile.TemporaryDirectory() as folder:
            overrides = Path(folder) / "overrides.txt"
            overrides.write_text(OVERRIDES.get(image, ""))
            pins = [f"--override={overrides}"] if image in OVERRIDES else []
            constraints = Path(folder) / "constraints.txt"
            lines = (ROOT / "constraints.txt").read_text().splitlines()
            constraints.write_text("\n".join(line for line in lines if not (pins and line.startswith("numpy=="))))
            (HERE / f"{image}.txt").write_text(_locked([f"--constraints={constraints}", *pins], extras, python))


def _locked(pins: list[str], extras: str, python: str) -> str:
    command = [sys.executable, "-m", "uv", "pip", "compile", "-q", "pyproject.toml", *pins]
    command += [f"--extra={extra}" for extra in extras.split(",")]
    command += ["--generate-hashes", "--no-emit-index-url", "--no-header", "--no-annotate"]
    command += [f"--python-version={python}", "--python-platform=linux", *(f"--no-emit-package={n}" for n in TORCH)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    entries = done.stdout.replace("\\\n", "\\").splitlines()
    kept = [entry for entry in entries if not entry.startswith(("nvidia-", "cuda-"))]
    return "\n".join(kept).replace("\\", "\\\n") + "\n"


if __name__ == "__main__":
    main()
