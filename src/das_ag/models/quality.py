"""Quality heads: one linear map from a frozen network's features to the photographic quality of a picture.

Their model card is note/quality_heads.md; `das_ag.training.quality` trains them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from das_ag.errors import UserError, first_line
from das_ag.models.weights import check_file

DATA = Path(__file__).parent / "data"
FORMAT = 1
_KEY = "quality_head"
_WHAT = "quality head"
_REMEDY = "train one with scripts/train_quality_head.py"


def shipped_file(network_name: str) -> Path:
    """The path of a network's head in this package; the file may not exist."""
    return DATA / f"quality_{re.sub(r'[^A-Za-z0-9._-]', '_', network_name)}.safetensors"


def packaged_head(network_name: str) -> Path | None:
    """The head of a network in this package; None if there is none."""
    path = shipped_file(network_name)
    return path if path.is_file() else None


class QualityHead:
    """A `FeatureRater`: weight · features + bias.

    Args:
        path: a file that `save_head` wrote.
        network_digest: SHA-256 of the weights of the network that computes the features.

    Attributes:
        digest: SHA-256 of the file.
        about: the metadata that `save_head` stored.

    Raises:
        UserError: the file is missing, damaged, or made for another network.
    """

    dropout: tuple[tuple[int, float], ...] = ()

    def __init__(self, path: Path, network_digest: str, device: torch.device | str = "cpu") -> None:
        self.digest = check_file(path, what=_WHAT, remedy=_REMEDY)
        self.about, weight, bias = _read(path)
        if self.about["network_digest"] != network_digest:
            raise UserError(
                f"{_WHAT}: expected a head for the network with SHA-256 {network_digest[:16]}…, got a head for "
                f"{self.about['network']} ({self.about['network_digest'][:16]}…) in {path}; {_REMEDY}."
            )
        self._weight, self._bias = weight.to(device), bias.to(device)

    def rate_features(self, features: Float[Tensor, "n d"], *_: Tensor) -> Float[Tensor, " n"]:
        """Maps L2-normalised features to ratings, unbounded: about 7 for a clean photo, 4 for a badly distorted one.

        Raises:
            UserError: the widths of features and head differ.
        """
        if features.shape[1] != len(self._weight):
            raise UserError(
                f"{_WHAT}: expected features of width {len(self._weight)}, got {features.shape[1]}; {_REMEDY}."
            )
        return features @ self._weight + self._bias


def save_head(path: Path, weight: Float[Tensor, " d"], bias: Float[Tensor, ""], about: Mapping[str, Any]) -> None:
    """Writes a head; replaces an existing file atomically.

    Args:
        weight, bias: parameters of the linear map, stored as float32.
        about: metadata for JSON: `network` (its name), `network_digest`, and further entries.
    """
    from safetensors.torch import save

    # A single entry, since safetensors writes several in random order, and equal heads should have equal bytes.
    metadata = {_KEY: json.dumps({"format": FORMAT, **about}, sort_keys=True)}
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        unfinished.write_bytes(save({"weight": weight.float().contiguous(), "bias": bias.float()}, metadata))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _read(path: Path) -> tuple[dict[str, Any], Float[Tensor, " d"], Float[Tensor, ""]]:
    """Reads metadata, weight and bias."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()[_KEY])
            weight, bias = file.get_tensor("weight"), file.get_tensor("bias")
            about["network"], about["network_digest"], about["format"]
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(
            f"{_WHAT}: cannot read weight, bias and metadata in {path} ({first_line(error)}); {_REMEDY}."
        ) from error
    if about["format"] != FORMAT:
        raise UserError(f"{_WHAT}: expected format {FORMAT} in {path}, got {about['format']}; {_REMEDY}.")
    if weight.ndim != 1 or bias.ndim != 0 or not (weight.isfinite().all() and bias.isfinite()):
        raise UserError(
            f"{_WHAT}: expected one finite weight for each feature and one finite bias in {path}, got shapes "
            f"{tuple(weight.shape)} and {tuple(bias.shape)}, or NaN or infinity; {_REMEDY}."
        )
    return about, weight.float(), bias.float()
