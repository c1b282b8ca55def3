"""Imports matplotlib, also where the user's settings of matplotlib are damaged.

matplotlib reads $MPLBACKEND and the file matplotlibrc when it is imported. The import fails if the backend is not
installed here (a notebook passes its own to the commands that it starts), or if the file is not UTF-8.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from pathlib import Path


def import_matplotlib() -> None:
    """Imports matplotlib with the user's settings, or else without them."""
    try:
        import matplotlib
    except ValueError:  # includes UnicodeDecodeError
        for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
            del sys.modules[name]  # parts of the failed import
        found = importlib.util.find_spec("matplotlib")
        assert found is not None
        assert found.origin is not None
        backend = os.environ.pop("MPLBACKEND", None)
        try:
            # matplotlib looks for matplotlibrc first in the working folder; this one has the default file.
            with contextlib.chdir(Path(found.origin).parent / "mpl-data"):
                import matplotlib  # noqa: F401
        finally:
            if backend is not None:
                os.environ["MPLBACKEND"] = backend


import_matplotlib()
