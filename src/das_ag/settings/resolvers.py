"""Functions that the configuration may use; registered for every process that imports this module."""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf


def half(px: Any) -> Any:
    """Half of a size, rounded down, at least 1; what is no whole number is refused where the settings are checked."""
    return max(1, px // 2) if isinstance(px, int) else px


OmegaConf.register_new_resolver("half", half, replace=True)  # in YAML: ${half:${canvas_px}}
