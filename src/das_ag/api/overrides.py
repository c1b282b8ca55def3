"""Settings given in Python, as the command line has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from das_ag.store.command import hydra_value
from das_ag.store.samples import leaves


def overrides_of(settings: Mapping[str, Any]) -> list[str]:
    """A list of name=value, with dotted names for settings within a group."""
    return [
        f"{name}={hydra_value(str(value) if isinstance(value, Path) else value)}" for name, value in leaves(settings)
    ]
