"""Opens the demo: a page at http://localhost:8501, for the browser on this machine.

das-ag demo
das-ag demo --server.port 8502     # any option of streamlit run
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from das_ag.errors import UserError

APP = Path(__file__).parents[1] / "app.py"


def main(argv: Sequence[str]) -> int:
    """Runs the page's server until it is stopped; returns its exit status.

    Except on Windows, the server replaces this process, so that a signal to this process stops the server.
    """
    if {"-h", "--help"} & {*argv}:
        print(__doc__)
        return 0
    if importlib.util.find_spec("streamlit") is None:
        raise UserError(
            'demo: expected the package streamlit, found none; run uv sync --extra app, or pip install "das-ag[app]".'
        )
    command = [sys.executable, "-m", "streamlit", "run", str(APP), *argv]
    if sys.platform != "win32":  # where exec starts a new process, and the shell does not wait for it
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, command)
    return subprocess.run(command, check=False).returncode
