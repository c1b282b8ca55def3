"""Loads networks of transformers from a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from das_ag.errors import UserError, first_line
from das_ag.models.attention import IN_TRANSFORMERS
from das_ag.models.weights import check_finite


def load_pretrained(
    kind: Any, folder: Path, *, what: str, attention: str, remedy: str, **options: Any
) -> tuple[Any, list[str]]:
    """A model of transformers with the weights of a folder, in any layout that it can read, frozen, in float32.

    Args:
        kind: class of the model.
        attention: one of `attention.KERNELS`.
        options: further options of its `from_pretrained`.

    Returns:
        the model, and the names of the weights that the folder lacks, which transformers makes up.

    Raises:
        UserError: transformers cannot read the folder, or a weight is NaN or infinite.
    """
    _silence_transformers()
    try:
        with torch.random.fork_rng(devices=[]):  # random weights, which the checkpoint replaces
            model, info = kind.from_pretrained(
                str(folder), attn_implementation=IN_TRANSFORMERS[attention], local_files_only=True,
                output_loading_info=True, **options,
            )  # fmt: skip
    except Exception as error:  # transformers raises many types of errors for an unusable folder
        raise UserError(
            f"{what}: transformers cannot load the checkpoint in {folder} (“{first_line(error)}”); {remedy}."
        ) from error
    missing = sorted(info["missing_keys"])
    read = {name: weight for name, weight in model.state_dict().items() if name not in missing}
    check_finite(read, what=what, path=folder)
    return model.float().eval().requires_grad_(False), missing


def _silence_transformers() -> None:
    """Disables transformers' progress bar, since a model loads in seconds, and its warnings: our errors say more."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
