"""Terms of the objective besides CLIP's and the aesthetic score; a new one is a function here and a weight in YAML."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, relu


def total_variation(views: Float[Tensor, "n 3 h w"], _features: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Mean absolute difference of neighbours along rows plus that along columns."""
    along_rows = (views[..., :, 1:] - views[..., :, :-1]).abs().mean(dim=(1, 2, 3))
    along_columns = (views[..., 1:, :] - views[..., :-1, :]).abs().mean(dim=(1, 2, 3))
    return along_rows + along_columns


def l1(views: Float[Tensor, "n 3 h w"], _features: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Mean absolute value."""
    return views.abs().mean(dim=(1, 2, 3))


HIGHLIGHT = 0.9
"""From here on a colour counts as one: classifiers like white backgrounds more than people do."""


def highlights(rgb: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, " batch"]:
    """Mean of what exceeds `HIGHLIGHT`."""
    return relu(rgb - HIGHLIGHT).mean(dim=(1, 2, 3))


VIEW_TERMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"total_variation": total_variation, "l1": l1}
"""By name: views as the guide sees them, and its features of them, to one number for each view."""

IMAGE_TERMS: dict[str, Callable[[Tensor], Tensor]] = {"highlights": highlights}
"""By name: whole images, RGB in 0…1, to one number for each."""
