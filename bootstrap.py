"""Set up the project's own environment from ``requirements.lock``, then run Python in it.

    python3 bootstrap.py                      only set up (or find up to date)
    python3 bootstrap.py -m cxlib run demo    set up, then run that in the environment

Standard library only, so that it runs on a bare Python 3.11+. Quiet when there is nothing to do.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
LOCK = ROOT / "requirements.lock"
VENV = Path(os.environ.get("CXLIB_VENV", ROOT / ".venv"))
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "cxlib-lock.txt"
UV = "uv==0.13.*"


def clean_environment() -> dict[str, str]:
    """Return the environment without what would make kernels slow or find another Python's packages.

    Linear algebra gets one thread unless somebody asks for more: on our small matrices a second one costs more than it
    gives.
    """
    dropped = {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME", "JUPYTER_PATH"}
    kept = {k: v for k, v in os.environ.items() if k not in dropped}
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return threads | kept | {"JUPYTER_PREFER_ENV_PATH": "1", "VIRTUAL_ENV": str(VENV)}


def wanted_stamp() -> str:
    """Return what the environment must have been made from: the lock, this script and this Python."""
    digest = hashlib.sha256(LOCK.read_bytes() + Path(__file__).read_bytes()).hexdigest()
    return f"{digest} {sys.version_info[0]}.{sys.version_info[1]}"


def run(*command: str, quiet: bool = False) -> bool:
    """Run a command in the clean environment and tell whether it succeeded."""
    sink = subprocess.DEVNULL if quiet else None
    return subprocess.run(command, env=clean_environment(), stdout=sink, stderr=sink).returncode == 0


def set_up() -> None:
    """Create or renew the environment when the lock or the Python has changed."""
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text() == wanted_stamp():
        return
    started = time.monotonic()
    print("Setting up the environment from requirements.lock (about a minute the first time) ...", flush=True)
    if not run(sys.executable, "-m", "venv", "--clear", str(VENV)):
        sys.exit("Could not create a virtual environment. On Debian or Ubuntu: install the package python3-venv.")
    pip = (str(PYTHON), "-m", "pip", "--quiet", "--disable-pip-version-check")
    # uv takes seconds where pip takes minutes; both check every hash, and pip alone is enough.
    fast = run(*pip, "install", UV, quiet=True) and run(
        str(PYTHON), "-m", "uv", "pip", "sync", "--quiet", "--require-hashes", "--python", str(PYTHON), str(LOCK)
    )
    if not fast and not run(*pip, "install", "--require-hashes", "-r", str(LOCK)):
        sys.exit("Could not install requirements.lock: is a package index reachable? The lines above say what failed.")
    site = sysconfig.get_path("purelib", vars={"base": str(VENV), "platbase": str(VENV)})
    Path(site, "cxlib.pth").write_text(f"{ROOT}\n")
    STAMP.write_text(wanted_stamp())
    print(f"Environment ready in {time.monotonic() - started:.0f} s.", flush=True)


def main() -> int:
    """Set up, then run Python with the arguments given."""
    if sys.version_info < (3, 11):  # noqa: UP036 - the one file that may meet an older Python
        sys.exit(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}.")
    set_up()
    if len(sys.argv) == 1:
        return 0
    try:
        return subprocess.run([str(PYTHON), *sys.argv[1:]], env=clean_environment()).returncode
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
