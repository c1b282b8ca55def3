"""Aesthetic Predictor v2.5: the evaluator of the published experiment. Its package is AGPL-3.0; see NOTICE."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from das_ag.errors import UserError, missing_extra
from das_ag.models.attention import torch_kernel
from das_ag.models.hub import weights_digest
from das_ag.models.pretrained import load_pretrained
from das_ag.models.weights import check_file, load_state

INPUTS = 1152
_HEAD = "Aesthetic Predictor v2.5 head"
_HEAD_REMEDY = "point AESTHETIC_PREDICTOR_V2_5_PATH to aesthetic_predictor_v2_5.pth"
_SIGLIP_REMEDY = "point SIGLIP_MODEL_PATH to a folder with config.json and model.safetensors"


class AestheticV25:
    """An `AestheticModel`: SigLIP's pooled output, L2-normalised, and a head of five linear layers without activation.

    Args:
        siglip: folder of the checkpoint.
        head: file of the head.
        dtype, attention: precision and kernel of the networks; the published scores use float32.

    Raises:
        UserError: a file is missing, cannot be read, or holds another network.

    Source: aesthetic-predictor-v2-5. differs: Pillow prepares the picture here, since the image processors of different
    versions of transformers differ by up to 2 of 255.
    """

    def __init__(
        self,
        siglip: Path,
        head: Path,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        attention: str = "sdpa",
    ) -> None:
        self.digest = combined_digest(
            weights_digest(siglip, what="SigLIP", remedy=_SIGLIP_REMEDY),
            check_file(head, what=_HEAD, remedy=_HEAD_REMEDY),
        )
        state = _read_head(head)
        model = _load_siglip(siglip, attention).to(device, dtype)
        model.layers.load_state_dict(state)
        self._model = model
        self._device, self._dtype, self._attention = torch.device(device), dtype, attention
        self.image_size_px: int = model.config.image_size

    @torch.no_grad()
    def rate_images(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[np.ndarray, " n"]:
        """Maps RGB images to scores, mostly 1 to 10; one image at a time, so that no image affects another's score."""
        scores = []
        for image in images:
            pixels = prepare(image, self.image_size_px).to(self._device, self._dtype)
            with torch_kernel(self._attention):
                scores.append(self._model(pixel_values=pixels, return_dict=True).logits.float().item())
        return np.array(scores, dtype=np.float32)


def prepare(image: UInt8[np.ndarray, "_ _ 3"], size_px: int) -> Float[Tensor, "1 3 size size"]:
    """Converts an RGB image to SigLIP's input: resized by Pillow's antialiased bicubic filter, scaled to [-1, 1]."""
    small = Image.fromarray(image).resize((size_px, size_px), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(small, dtype=np.float32)).permute(2, 0, 1)[None] / 127.5 - 1


def combined_digest(siglip: str, head: str) -> str:
    """SHA-256 of the checksums of SigLIP and of the head."""
    return hashlib.sha256(f"{siglip} {head}".encode()).hexdigest()


def _read_head(path: Path) -> dict[str, Tensor]:
    """The weights of a head for SigLIP's features."""
    state = load_state(path, what=_HEAD)
    got = [tuple(weight.shape) for name, weight in state.items() if name.endswith(".weight")]
    expected = [(1024, INPUTS), (128, 1024), (64, 128), (16, 64), (1, 16)]
    names = {f"scoring_head.{layer}.{kind}" for layer in (0, 2, 4, 6, 8) for kind in ("weight", "bias")}
    if got != expected:
        raise UserError(
            f"{_HEAD}: expected layers of {expected} in {path}, got {got or 'none'}. The file is for other features "
            f"or another network; {_HEAD_REMEDY}."
        )
    if set(state) != names:
        raise UserError(
            f"{_HEAD}: expected weights named {', '.join(sorted(names))} in {path}, got {', '.join(sorted(state))}; "
            f"{_HEAD_REMEDY}."
        )
    return state


def _load_siglip(folder: Path, attention: str) -> Any:
    """The predictor with SigLIP's weights, in any layout that transformers can read, and without those of the head.

    Raises:
        UserError: a package is missing, or the folder holds no SigLIP with the head's features.
    """
    try:
        from aesthetic_predictor_v2_5 import AestheticPredictorV2_5Model
    except ImportError as error:
        raise missing_extra("aesthetic-predictor-v2-5", error) from error
    remedy = "download it again with das-ag check --download, or point SIGLIP_MODEL_PATH to another copy"
    model, missing = load_pretrained(
        AestheticPredictorV2_5Model, folder, what="SigLIP", attention=attention, remedy=remedy
    )
    _check_siglip(model, missing, folder)
    return model


def _check_siglip(model: Any, missing: Iterable[str], folder: Path) -> None:
    """Checks that every weight comes from the folder, since transformers silently makes up missing ones.

    Raises:
        UserError: a weight is missing, or the features are not those of the head.
    """
    needed = {name: weight for name, weight in model.state_dict().items() if not name.startswith("layers.")}
    lacking = sorted(needed.keys() & set(missing))
    if model.config.hidden_size != INPUTS or len(lacking) == len(needed):
        got = "another network" if len(lacking) == len(needed) else model.config.hidden_size
        raise UserError(
            f"SigLIP: expected {INPUTS} features in {folder}, got {got}; point SIGLIP_MODEL_PATH to "
            "siglip-so400m-patch14-384."
        )
    if lacking:
        raise UserError(
            f"SigLIP: {folder} lacks {len(lacking)} of the weights that config.json requires, for instance "
            f"{lacking[0]}; download the folder again."
        )
