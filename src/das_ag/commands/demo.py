"""Opens the demo: a page at http://localhost:8501, for the browser on this machine.

das-ag demo
das-ag demo --server.port 8502     # any option of streamlit run
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from das_ag.errors import UserError

APP = Path(__file__).parents[1] / "app.py"


def main(argv: Sequence[str]) -> int:
    """Runs the page's server until it is stopped; returns its exit status."""
    if {"-h", "--help"} & {*argv}:
        print(__doc__)
        return 0
    if importlib.util.find_spec("streamlit") is None:
        raise UserError(
            'demo: expected the package streamlit, found none; run uv sync --extra app, or pip install "das-ag[app]".'
        )
    return subprocess.run([sys.executable, "-m", "streamlit", "run", str(APP), *argv], check=False).returncode
