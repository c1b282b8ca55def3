"""Functions for use in the configuration; importing this module registers them."""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf


def half(px: Any) -> Any:
    """Half of a size, rounded down, at least 1. Other types stay unchanged; the check of the settings rejects them."""
    return max(1, px // 2) if isinstance(px, int) else px


OmegaConf.register_new_resolver("half", half, replace=True)  # in YAML: ${half:${canvas_px}}
