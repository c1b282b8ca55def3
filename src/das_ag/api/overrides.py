"""Settings given in Python, as the command line has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from das_ag.store.command import hydra_value


def overrides_of(settings: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """Settings as on the command line."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from overrides_of(value, f"{place}{name}.")
        else:
            yield f"{place}{name}={hydra_value(str(value) if isinstance(value, Path) else value)}"
