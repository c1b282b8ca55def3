"""Checks that an experiment's models are available: files, licences, checksums, a known answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from das_ag.errors import UserError
from das_ag.models.hub import HubFolder, weight_files
from das_ag.models.registry import Choice, EvaluatorChoice, GuideChoice
from das_ag.models.sources import WeightFile, cache_folder, clip_file, clip_package
from das_ag.vector_math import choose_kernels

KNOWN_TEXTS = ("a diagram", "a dog", "a cat")
KNOWN_ANSWER = (0.9927937, 0.00421068, 0.00299572)
"""Probabilities that ViT-B/32 gives these texts for OpenAI's CLIP.png. Source: README of OpenAI's CLIP."""
KNOWN_TOLERANCE = 0.002
"""Tolerance of the probabilities: the README states neither device nor precision."""
LOGIT_SCALE = 100.0
"""Inverse temperature of CLIP's softmax, the value at which training clips it."""


@dataclass(frozen=True)
class Finding:
    """The result of the search for a model.

    Attributes:
        what: name of the model.
        place: where the search looked.
        licence: licence of the weights.
        sha256: checksum of the file; None if it is missing or not usable.
        size_bytes: size of the file; of a missing one, the size of the published file, None if unknown.
        published: whether it is the published file; None if there is no published checksum.
        remedy: what to do if the file is missing or wrong.
        problem: why an existing file cannot be used.
    """

    what: str
    place: Path | str
    licence: str
    sha256: str | None
    size_bytes: int | None
    published: bool | None
    remedy: str
    problem: str | None = None

    @property
    def usable(self) -> bool:
        """Whether the experiment can use it."""
        return self.sha256 is not None and self.problem is None


def sources(guide: GuideChoice, evaluators: list[EvaluatorChoice]) -> Iterator[WeightFile | HubFolder]:
    """All files outside of Python packages that the networks of an experiment load."""
    choices: list[Choice] = [guide, *evaluators]
    for choice in choices:
        yield from choice.files().values()


def look(source: WeightFile | HubFolder) -> Finding:
    """Looks for a model on this machine, without network access."""
    if isinstance(source, WeightFile):
        paths, expected = ([source.path] if source.is_there() else []), source.sha256
        place: Path | str = source.path
    else:
        folder = source.find()
        paths, expected = (weight_files(folder) if folder else []), None
        place = folder or source.path or f"the Hugging Face hub's cache ({source.name})"
    if not paths:
        return Finding(source.what, place, source.licence, None, source.size_bytes, None, source.remedy)
    problem = None
    try:
        sha256: str | None = source.digest()
    except UserError as error:
        sha256, problem = None, str(error)
    published = None if expected is None or sha256 is None else sha256 == expected
    size_bytes = sum(path.stat().st_size for path in paths if path.is_file())
    return Finding(source.what, place, source.licence, sha256, size_bytes, published, source.remedy, problem)


def known_answer() -> tuple[float, ...] | None:
    """ViT-B/32's probabilities for OpenAI's own example; None if that model or CLIP.png is missing.

    Raises:
        UserError: the weights are altered.
    """
    weights, picture = known_answer_files()
    if not (weights.is_there() and picture.is_there()):
        return None
    from das_ag.models.clip import OpenAIClip

    weights.digest()
    choose_kernels()
    model = OpenAIClip(weights.path)
    with Image.open(picture.path) as image, torch.no_grad():
        pixels = clip_package()._transform(model.image_size_px)(image)[None]
        logits = LOGIT_SCALE * model.encode_images(pixels) @ model.encode_texts(KNOWN_TEXTS).T
    return tuple(logits.softmax(dim=-1)[0].tolist())


def known_answer_files() -> tuple[WeightFile, WeightFile]:
    """The files of OpenAI's example: ViT-B/32 and the picture."""
    url = "https://github.com/openai/CLIP/raw/main/CLIP.png"
    picture = WeightFile("CLIP.png", None, cache_folder("das-ag") / "CLIP.png", False, url, None, "MIT")
    # CLIP_MODEL_PATH is the guide's.
    return dataclasses.replace(clip_file("ViT-B/32", None), variable=None), picture


def is_known_answer(probabilities: tuple[float, ...]) -> bool:
    """Whether the probabilities equal OpenAI's within the tolerance."""
    return bool(np.allclose(probabilities, KNOWN_ANSWER, rtol=0, atol=KNOWN_TOLERANCE))
