"""OpenAI's CLIP, which its own package builds from a checkpoint in OpenAI's format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from das_ag.errors import UserError
from das_ag.models.sources import clip_package, published_archives
from das_ag.models.towers import TwoTowers, convert, use_kernel, words_beyond
from das_ag.models.weights import check_file, load_state

VIT_L_14: dict[str, Any] = {
    "embed_dim": 768, "image_resolution": 224, "vision_layers": 24, "vision_width": 1024, "vision_patch_size": 14,
    "context_length": 77, "vocab_size": 49408, "transformer_width": 768, "transformer_heads": 12,
    "transformer_layers": 12,
}  # fmt: skip
"""Architecture of ViT-L/14, as arguments of `clip.model.CLIP`."""

_REMEDY = "point CLIP_MODEL_PATH to a checkpoint of OpenAI's CLIP"


class OpenAIClip(TwoTowers):
    """OpenAI's CLIP.

    Args:
        path: safetensors, state dict or TorchScript archive.
        dtype: precision of the image tower; texts are always encoded in float32, and features are float32.
        attention: kernel of the image tower, one of `attention.KERNELS`; a ResNet ignores it.

    Raises:
        UserError: the file is missing, or is not a CLIP.
    """

    def __init__(
        self,
        path: Path,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        attention: str = "sdpa",
    ) -> None:
        digest = check_file(path, what="CLIP", remedy=_REMEDY)
        model = build_clip(path)
        self.architecture = architecture_of(model)
        model = model.to(device)
        visual, model.visual = model.visual, _TextOnly()
        use_kernel(visual, attention)
        convert(visual, dtype)
        super().__init__(
            visual, model.encode_text, self._tokens, image_size_px=visual.input_resolution,
            dim=self.architecture["embed_dim"], digest=digest, device=device, dtype=dtype, attention=attention,
        )  # fmt: skip

    def _tokens(self, texts: Sequence[str]) -> Tensor:
        return clip_package().tokenize(list(texts), self.architecture["context_length"], truncate=True)


def build_clip(path: Path) -> Any:
    """A checkpoint's network as CLIP's own package builds it: `clip.model.CLIP`, float32, frozen, on the CPU.

    `clip.load` runs the code of any archive; this function runs only code that OpenAI published.

    Raises:
        UserError: the file cannot be read, or is not a CLIP.
    """
    state = load_state(path, what="CLIP", runnable=published_archives())
    from clip.model import build_model

    try:
        with torch.random.fork_rng(devices=[]):  # random weights, which the checkpoint replaces
            model = build_model(state)
    except (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"CLIP: expected a checkpoint of OpenAI's CLIP in {path}, got {_other_layout(state)}."
        ) from error
    # The archives hold float16, which overflows during ascent.
    return model.float().eval().requires_grad_(False)


def _other_layout(state: Mapping[str, Any]) -> str:
    """What the file holds instead of OpenAI's layout, and the remedy."""
    for name, value in state.items():
        if isinstance(value, Mapping):
            return f"a training checkpoint; write its {name!r} alone to a file"
        if not isinstance(name, str):
            continue
        if name.endswith(".text_projection"):
            return f"names that begin with {name.removesuffix('text_projection')!r}; remove this prefix from all names"
        if "vision_model." in name or "text_model." in name:
            return "the layout of Hugging Face's transformers; use models=hf_clip models.path=FOLDER"
    return f"other weights; {_REMEDY}"


def lost_words(text: str, context_length: int) -> tuple[str, ...]:
    """Words beyond the context length; the start and end tokens take two of its positions."""
    return words_beyond(text, context_length - 2, clip_package()._tokenizer.encode)


def draw_initial_weights(architecture: dict[str, Any]) -> None:
    """Draws the same numbers from the default generator as the creation of such a CLIP."""
    clip_package()
    from clip.model import CLIP

    CLIP(**architecture)


def save_random_clip(path: Path, architecture: dict[str, Any], seed: int = 0) -> None:
    """Writes a state dict of random weights in OpenAI's layout, float16, for benchmarks without the real weights."""
    clip_package()
    from clip.model import CLIP

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = CLIP(**architecture).state_dict()
    torch.save({name: weight.half() for name, weight in state.items()}, path)


def architecture_of(model: nn.Module) -> dict[str, Any]:
    """The arguments of `clip.model.CLIP` for this model."""
    m: Any = model
    vit = hasattr(m.visual, "conv1") and hasattr(m.visual, "proj")
    stages = [m.visual.layer1, m.visual.layer2, m.visual.layer3, m.visual.layer4] if not vit else []
    blocks = m.transformer.resblocks
    return {
        "embed_dim": m.text_projection.shape[1],
        "image_resolution": m.visual.input_resolution,
        "vision_layers": len(m.visual.transformer.resblocks) if vit else tuple(len(stage) for stage in stages),
        "vision_width": m.visual.conv1.out_channels if vit else stages[0][0].conv1.out_channels,
        "vision_patch_size": m.visual.conv1.kernel_size[0] if vit else None,
        "context_length": m.context_length,
        "vocab_size": m.vocab_size,
        "transformer_width": m.transformer.width,
        "transformer_heads": blocks[0].attn.num_heads,
        "transformer_layers": len(blocks),
    }


class _TextOnly(nn.Module):
    """Placeholder for the image tower: CLIP reads the dtype for its text activations from there."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = SimpleNamespace(weight=torch.empty(0))
