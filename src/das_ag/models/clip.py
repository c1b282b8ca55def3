"""OpenAI's CLIP, built by its own package from a checkpoint in OpenAI's format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from das_ag.errors import UserError
from das_ag.models.weights import check_file, load_state


class OpenAIClip:
    """An `ImageTextModel`.

    Args:
        path: TorchScript archive or state dict.
        sha256: expected checksum, if known.

    Raises:
        UserError: the file is missing, altered, or no CLIP.
    """

    def __init__(self, path: Path, *, sha256: str | None = None, device: torch.device | str = "cpu") -> None:
        from clip.model import build_model

        remedy = "point CLIP_MODEL_PATH to a checkpoint of OpenAI's CLIP"
        self.digest = check_file(path, what="CLIP", remedy=remedy, sha256=sha256)
        state = load_state(path, what="CLIP")
        try:
            model = build_model(state)
        except (AssertionError, AttributeError, KeyError, RuntimeError, ValueError) as error:
            raise UserError(
                f"CLIP: expected a checkpoint of OpenAI's CLIP in {path}, got other weights; {remedy}."
            ) from error
        # The archives hold float16, which overflows in ascent.
        self._model = model.float().eval().requires_grad_(False).to(device)
        self._device = torch.device(device)
        self.image_size_px: int = self._model.visual.input_resolution

    def encode_images(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """CLIP-normalised pixels to L2-normalised features."""
        return F.normalize(self._model.encode_image(pixels), dim=-1)

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Texts, cut at the model's context, to L2-normalised features."""
        from clip import tokenize

        tokens = tokenize(list(texts), context_length=self._model.context_length, truncate=True)
        return F.normalize(self._model.encode_text(tokens.to(self._device)), dim=-1)

    def lost_words(self, text: str) -> tuple[str, ...]:
        """Words beyond the model's context, of which two places go to the marks of start and end."""
        from clip.simple_tokenizer import SimpleTokenizer

        tokenizer = SimpleTokenizer()
        room = self._model.context_length - 2
        words = re.findall(r"\S+", text)
        for kept in range(len(words), -1, -1):
            if len(tokenizer.encode(" ".join(words[:kept]))) <= room:
                return tuple(words[kept:])
        return tuple(words)
