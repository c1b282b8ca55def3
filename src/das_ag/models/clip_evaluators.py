"""Evaluators on features of CLIP: LAION's aesthetic predictor, and the CLIP score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from das_ag.models.aesthetic import LaionHead
from das_ag.models.clip import OpenAIClip
from das_ag.models.sources import clip_package


class _Features:
    """CLIP features of finished images, in float32.

    Args:
        path: a checkpoint of OpenAI's CLIP.
    """

    def __init__(self, path: Path, device: torch.device | str = "cpu") -> None:
        self._clip, self._device = OpenAIClip(path, device=device), device
        self._prepare = clip_package()._transform(self._clip.image_size_px)
        self.digest = self._clip.digest

    @torch.no_grad()
    def _encode(self, image: UInt8[np.ndarray, "_ _ 3"]) -> Float[Tensor, "1 d"]:
        """The L2-normalised feature of an image, prepared by the function of CLIP's own package."""
        return self._clip.encode_images(self._prepare(Image.fromarray(image))[None].to(self._device))


class LaionPredictor(_Features):
    """LAION's aesthetic predictor as an `AestheticModel`.

    Args:
        head: file of the head for this CLIP.

    Source: improved-aesthetic-predictor, `simple_inference.py`.
    """

    def __init__(self, path: Path, head: Path, device: torch.device | str = "cpu") -> None:
        super().__init__(path, device)
        self._head = LaionHead(head, inputs=self._clip.dim, device=device)
        self._clip.release_texts()

    def rate_images(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[np.ndarray, " n"]:
        """Maps RGB images to scores, unbounded, mostly 1 to 10; one image at a time, as for the digits of one."""
        rated = [float(self._head.rate_features(self._encode(image))) for image in images]
        return np.array(rated, dtype=np.float32)


class ClipScore(_Features):
    """The CLIP score as a `TextRater`: max(100 · cosine, 0), and for several texts 100 times their mean cosine.

    Source: Hessel et al., CLIPScore, EMNLP 2021, in the definition of torchmetrics' `CLIPScore`.
    """

    def rate_with_texts(self, image: UInt8[np.ndarray, "_ _ 3"], texts: Sequence[str]) -> float:
        """Scores an RGB image by its texts, from 0 to 100; in practice about 20 to 40."""
        cosines = self._encode(image) @ self._clip.encode_texts(texts).T
        return max(100 * float(cosines.mean()), 0.0)
