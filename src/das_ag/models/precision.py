"""Number formats of the frozen networks."""

from __future__ import annotations

import torch

from das_ag.errors import UserError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def dtype_of(precision: str, option: str) -> torch.dtype:
    """The torch dtype with this name.

    Raises:
        UserError: the precision is not supported.
    """
    if precision == "float16":
        raise UserError(
            f"{option}: expected {' or '.join(PRECISIONS)}, got 'float16'. CLIP overflows in float16; use bfloat16, "
            "which needs the same memory."
        )
    if precision not in PRECISIONS:
        raise UserError(f"{option}: expected {' or '.join(PRECISIONS)}, got {precision!r}; choose one of them.")
    return PRECISIONS[precision]
