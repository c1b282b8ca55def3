"""Checks that an experiment's models are available: files, licences, checksums, known answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import torch
from PIL import Image

from das_ag.errors import UserError
from das_ag.models.files import WeightFile
from das_ag.models.hub import HubFolder, hub_cache, weight_files
from das_ag.models.registry import Choice
from das_ag.models.sources import HEADS, cache_folder, clip_file, clip_of_archive, clip_package, head_file
from das_ag.vector_math import choose_kernels

KNOWN_TEXTS = ("a diagram", "a dog", "a cat")
KNOWN_ANSWER = (0.9927937, 0.00421068, 0.00299572)
"""Probabilities that ViT-B/32 gives these texts for OpenAI's CLIP.png. Source: README of OpenAI's CLIP."""
KNOWN_TOLERANCE = 0.002
"""Tolerance of the probabilities: the README states neither device nor precision."""
LOGIT_SCALE = 100.0
"""Inverse temperature of CLIP's softmax, the value at which training clips it."""

RATING_SCORES = {
    "sa_0_4_vit_b_32_linear.pth": (
        "vit_b_32", (-1.47, 0.27, 1.99, 3.61, 5.09, 6.39, 7.67, 8.92, 9.92, 11.01)
    ),
    "sa_0_4_vit_l_14_linear.pth": (
        "vit_l_14", (-2.46, -0.14, 1.90, 3.58, 5.10, 6.47, 7.79, 9.05, 10.23, 11.30)
    ),
    "sac+logos+ava1-l14-linearMSE.pth": (
        "vit_l_14", (1.66, 2.36, 3.07, 3.67, 4.24, 4.70, 5.07, 5.37, 5.58, 5.75)
    ),
}  # fmt: skip
"""For published heads, the CLIP of ten real features that stand for ratings 0 … 9, and their scores to two digits. The
features are in `models/data/laion_rating_features.npz`. The heads' scales differ; the order agrees."""
RATING_TOLERANCE = 0.006


@dataclass(frozen=True)
class Finding:
    """The result of the search for a model.

    Attributes:
        what: name of the model.
        place: where it is, or where a download puts it.
        origin: where a download comes from; None if there is none.
        licence: licence of the weights.
        sha256: checksum of the file; None if it is missing or not usable.
        size_bytes: size of the file; of a missing one, the size of the published file, None if unknown.
        published: whether it is the published file; None if there is no published checksum.
        remedy: what to do if the file is missing or wrong.
        problem: why an existing file cannot be used.
    """

    what: str
    place: Path
    origin: str | None
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


def sources(*choices: Choice) -> Iterator[WeightFile | HubFolder]:
    """All files outside of Python packages that these networks load, each once."""
    yield from dict.fromkeys(file for choice in choices for file in choice.files().values())


def look(source: WeightFile | HubFolder) -> Finding:
    """Looks for a model on this machine, without network access."""
    if isinstance(source, WeightFile):
        paths, expected, place = ([source.path] if source.is_there() else []), source.sha256, source.path
        origin = None if source.given or source.url is None else urlsplit(source.url).netloc
    else:
        folder = source.find()
        paths, expected = (weight_files(folder) if folder else []), None
        place, origin = folder or source.path or hub_cache(), None if source.given else f"the hub, {source.name}"
    finding = Finding(
        source.what, place, origin, source.licence, sha256=None, size_bytes=source.size_bytes, published=None,
        remedy=source.remedy,
    )  # fmt: skip
    if not paths:
        return finding
    size_bytes = sum(path.stat().st_size for path in paths if path.is_file())
    try:
        sha256 = source.digest()
    except UserError as error:
        return dataclasses.replace(finding, size_bytes=size_bytes, problem=str(error))
    published = None if expected is None else sha256 == expected
    return dataclasses.replace(finding, sha256=sha256, size_bytes=size_bytes, published=published)


def caches() -> list[Path]:
    """The folders of all downloads."""
    return [cache_folder("clip"), cache_folder("das-ag"), hub_cache()]


def heads_at_hand(needed: Iterable[WeightFile | HubFolder]) -> dict[str, Path]:
    """Files of the heads with a known answer, by the published name: those that are needed, and those in the cache."""
    cached = [head_file(HEADS[name].clip, name) for name in RATING_SCORES]
    names = {HEADS[name].sha256: name for name in RATING_SCORES}
    found = [file for file in [*needed, *cached] if isinstance(file, WeightFile) and file.is_there()]
    by_digest = {look(file).sha256: file.path for file in found if file.sha256 in names}
    return {name: by_digest[sha256] for sha256, name in names.items() if sha256 in by_digest}


def rates_as_known(name: str, path: Path) -> bool:
    """Whether a head gives the real features the known scores.

    Args:
        name: a key of `RATING_SCORES`.
        path: file of the head.

    Raises:
        UserError: the file is no such head.
    """
    from das_ag.models.aesthetic import LaionHead

    clip, expected = RATING_SCORES[name]
    data = resources.files("das_ag.models") / "data" / "laion_rating_features.npz"
    with data.open("rb") as file, np.load(file) as arrays:
        features = torch.from_numpy(arrays[clip])
    scores = LaionHead(path, inputs=features.shape[1]).rate_features(features)
    return bool(np.allclose(scores.numpy(), expected, rtol=0, atol=RATING_TOLERANCE))


def known_answer() -> tuple[float, ...] | None:
    """The published ViT-B/32's probabilities for OpenAI's own example; None if it or CLIP.png is missing.

    Raises:
        UserError: the weights are altered, or CLIP's package is missing.
    """
    weights, picture = known_answer_files()
    if not (weights.is_there() and picture.is_there()):
        return None
    from das_ag.models.clip import OpenAIClip

    if clip_of_archive(weights.digest()) != "ViT-B/32" and weights.given:
        return None  # somebody's own
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
    return clip_file("ViT-B/32", None), picture


def is_known_answer(probabilities: tuple[float, ...]) -> bool:
    """Whether the probabilities equal OpenAI's within the tolerance."""
    return bool(np.allclose(probabilities, KNOWN_ANSWER, rtol=0, atol=KNOWN_TOLERANCE))
