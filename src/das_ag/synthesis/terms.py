"""Terms of the objective other than CLIP's and the aesthetic score.

To add a term, write a function here with one of the two decorators, and give it a weight under `objective` in a file of
`conf/models`. The function's name is the term's name in the configuration, in traces and in plots.
"""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, relu

ViewTerm = Callable[[Tensor, Tensor], Tensor]
"""Maps the guide's views (N, 3, H, W), CLIP-normalised, and their features (N, D) to one number each (N,)."""
ImageTerm = Callable[[Tensor], Tensor]
"""Maps whole images (N, 3, H, W), RGB in 0…1, to one number each (N,)."""

VIEW_TERMS: dict[str, ViewTerm] = {}
IMAGE_TERMS: dict[str, ImageTerm] = {}


def of_views(term: ViewTerm) -> ViewTerm:
    """Registers a term of views; a sample's value is the mean over its views."""
    VIEW_TERMS[term.__name__] = term
    return term


def of_image(term: ImageTerm) -> ImageTerm:
    """Registers a term of the whole image."""
    IMAGE_TERMS[term.__name__] = term
    return term


@of_views
def total_variation(views: Float[Tensor, "n 3 h w"], _features: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Mean absolute difference of neighbours along rows, plus the same along columns."""
    along_rows = (views[..., :, 1:] - views[..., :, :-1]).abs().mean(dim=(1, 2, 3))
    along_columns = (views[..., 1:, :] - views[..., :-1, :]).abs().mean(dim=(1, 2, 3))
    return along_rows + along_columns


@of_views
def l1(views: Float[Tensor, "n 3 h w"], _features: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Mean absolute value of the normalised pixels."""
    return views.abs().mean(dim=(1, 2, 3))


HIGHLIGHT = 0.9
"""Threshold of a highlight in a colour channel. Classifiers prefer white backgrounds more than people do."""


@of_image
def highlights(rgb: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, " batch"]:
    """Mean excess over the threshold of a highlight: how much burns out to white."""
    return relu(rgb - HIGHLIGHT).mean(dim=(1, 2, 3))
