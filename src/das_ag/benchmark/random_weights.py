"""Guides with random weights in the sizes of OpenAI's CLIPs, for measurements without the real weights."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from das_ag.errors import UserError
from das_ag.models.aesthetic import save_random_head
from das_ag.models.clip import VIT_L_14, save_random_clip
from das_ag.models.sources import head_name

_VIT_B = VIT_L_14 | {
    "embed_dim": 512, "vision_layers": 12, "vision_width": 768, "transformer_width": 512, "transformer_heads": 8,
}  # fmt: skip


def _resnet(dim: int, size_px: int, layers: tuple[int, ...], width: int, text_width: int) -> dict[str, Any]:
    return VIT_L_14 | {
        "embed_dim": dim, "image_resolution": size_px, "vision_layers": layers, "vision_width": width,
        "vision_patch_size": None, "transformer_width": text_width, "transformer_heads": text_width // 64,
    }  # fmt: skip


ARCHITECTURES = {
    "RN50": _resnet(1024, 224, (3, 4, 6, 3), 64, 512),
    "RN101": _resnet(512, 224, (3, 4, 23, 3), 64, 512),
    "RN50x4": _resnet(640, 288, (4, 6, 10, 6), 80, 640),
    "RN50x16": _resnet(768, 384, (6, 8, 18, 8), 96, 768),
    "RN50x64": _resnet(1024, 448, (3, 15, 36, 10), 128, 1024),
    "ViT-B/32": _VIT_B | {"vision_patch_size": 32},
    "ViT-B/16": _VIT_B | {"vision_patch_size": 16},
    "ViT-L/14": VIT_L_14,
    "ViT-L/14@336px": VIT_L_14 | {"image_resolution": 336},
}
"""Architecture of each CLIP that OpenAI published, as arguments of `clip.model.CLIP`."""


@contextlib.contextmanager
def random_weights(name: str) -> Iterator[list[str]]:
    """Overrides for a CLIP and, if LAION published one for it, a head; both take the same time as the real ones.

    Args:
        name: a key of `ARCHITECTURES`.

    Raises:
        UserError: there is no CLIP of that name.
    """
    if name not in ARCHITECTURES:
        raise UserError(
            f"models.name: expected one of {', '.join(ARCHITECTURES)} for random weights, got {name!r}; use "
            "models=openai_clip with one of them."
        )
    with tempfile.TemporaryDirectory() as folder:
        clip, head = Path(folder, "random_clip.pt"), Path(folder, "random_head.pth")
        save_random_clip(clip, ARCHITECTURES[name])
        if head_name(name) is None:
            yield [f"models.path={clip}"]
            return
        save_random_head(head, inputs=ARCHITECTURES[name]["embed_dim"])
        yield [f"models.path={clip}", f"models.head={head}"]
