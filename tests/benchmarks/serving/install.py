"""Makes the environments of the peers: `python tests/benchmarks/serving/install.py [name ...]`.

One that cannot be installed is left out, with its error in error.txt, which the benchmark then tells.
"""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from serving.peers import ENVIRONMENTS, IN_PROCESS, PEERS, SCRIPTS, environment_python

SECONDS = 1200


def install(name: str) -> None:
    """Installs an environment, unless it is there with the same requirements."""
    folder, requirements = ENVIRONMENTS / name, SCRIPTS / f"{name}.txt"
    stamp, failed = folder / ".installed", folder / "error.txt"
    if stamp.is_file() and stamp.read_bytes() == requirements.read_bytes():
        return
    print(f"installing {requirements.name} into {folder}", flush=True)
    failed.unlink(missing_ok=True)
    stamp.unlink(missing_ok=True)
    try:
        if not environment_python(name).exists():
            _run(str(Path(sys.base_prefix) / "bin" / "python3"), "-m", "venv", str(folder))
        _run(str(environment_python(name)), "-m", "pip", "install", "-qq", "-r", str(requirements))
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as exc:
        folder.mkdir(parents=True, exist_ok=True)
        failed.write_text(f"pip failed: {_last_line(exc)}\n")
        print(f"{name}: {failed.read_text()}", end="", flush=True)
    else:
        stamp.write_bytes(requirements.read_bytes())


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS)


def _last_line(error: subprocess.SubprocessError) -> str:
    text = str(getattr(error, "stderr", "") or error).strip()
    return text.splitlines()[-1] if text else type(error).__name__


def main() -> None:
    """Installs what is named, or all."""
    for name in sys.argv[1:] or [IN_PROCESS, *dict.fromkeys(peer.environment for peer in PEERS.values())]:
        install(name)


if __name__ == "__main__":
    main()
