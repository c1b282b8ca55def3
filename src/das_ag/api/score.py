"""Scores pictures from Python."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from PIL import Image

from das_ag.api.overrides import overrides_of
from das_ag.errors import UserError
from das_ag.evaluation.decode import pixels_of
from das_ag.generation.machine import restored, set_up
from das_ag.models.registry import EvaluatorChoice
from das_ag.settings import environment
from das_ag.settings.choices import choose_evaluators, choose_runtime
from das_ag.settings.configuration import compose_config
from das_ag.settings.runtime import choose_device

Picture = Path | str | Image.Image | np.ndarray


@overload
def score(images: Picture, evaluator: str | Mapping[str, Any] = ..., **settings: Any) -> float: ...
@overload
def score(
    images: list[Any] | tuple[Any, ...], evaluator: str | Mapping[str, Any] = ..., **settings: Any
) -> list[float]: ...
def score(
    images: Picture | list[Any] | tuple[Any, ...],
    evaluator: str | Mapping[str, Any] = "imagenet",
    **settings: Any,
) -> float | list[float]:
    """Scores pictures of any origin; the same numbers as `das-ag score`.

    Args:
        images: one picture or several: paths, Pillow's images, or RGB arrays (h, w, 3) of uint8 or of floats in 0…1.
        evaluator: imagenet rates photographic quality, aesthetic_v2_5 how much people like a picture; or the options of
            one, as in `{"imagenet": {"name": "resnet50.a1_in1k"}}`.
        settings: as in `generate`, for instance `runtime={"device": "cpu"}`.

    Returns:
        A score, or a list of scores for several pictures; NaN if the evaluator gives none.

    Raises:
        UserError: a setting is wrong, or a picture cannot be read.

    Example:
        >>> import das_ag, numpy as np
        >>> grey = np.full((64, 64, 3), 0.5)
        >>> 1 < das_ag.score(grey) < 10, len(das_ag.score([grey, grey]))
        (True, 2)
    """
    is_one = isinstance(images, Picture) or not isinstance(images, Iterable)
    several: Any = [images] if is_one else images
    several = list(several)
    for image in several:
        if isinstance(image, Path | str) and Path(image).expanduser().is_dir():
            raise UserError(f"{image}: expected a picture, got a folder; for its pictures, run das-ag score {image}.")
    environment.prepare()
    config = compose_config(overrides_of({"evaluator": evaluator, **settings}))
    runtime, evaluators = choose_runtime(config.runtime), choose_evaluators(config.evaluator)
    if len(evaluators) > 1:
        raise UserError(f"evaluator: expected one, got {', '.join(evaluators)}; call das_ag.score for each.")
    (choice,) = evaluators.values()
    device = choose_device(runtime.device)
    choice.check(device)
    with restored():
        set_up(runtime)
        judge = load_evaluator(choice, device)
        scores = [float(judge.rate_images([pixels_of(image)])[0]) for image in several]
    return scores[0] if is_one else scores


@functools.lru_cache(maxsize=1)  # so that the next call need not load it again
def load_evaluator(choice: EvaluatorChoice, device: torch.device) -> Any:
    """The networks of an evaluator."""
    return choice.load(device)
