"""CLIP and SigLIP in the layout of the Hugging Face hub, through transformers."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from das_ag.errors import UserError, first_line, missing_extra
from das_ag.models.hub import HubFolder
from das_ag.models.pretrained import load_pretrained
from das_ag.models.towers import TwoTowers, words_beyond

KINDS = {"clip": "CLIPModel", "siglip": "SiglipModel"}
"""Classes of transformers by `model_type`; SigLIP 2 with a fixed size is a `siglip`."""
_REQUIRED = ("config.json", "tokenizer_config.json")
_PREPARATION = ("preprocessor_config.json", "processor_config.json")
_TOKENIZER = (
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "spiece.model",
)
_REMEDY = "correct models.name or models.path"


def hub_folder(name: str, path: str | None) -> HubFolder:
    """The folder of a CLIP: the one at the path, or that of this name on the hub."""
    return HubFolder(
        f"CLIP {path or name}".rstrip(), "models.path", "see its page on the Hugging Face hub", name,
        Path(path).expanduser() if path else None, None, required=_REQUIRED, optional=(*_PREPARATION, *_TOKENIZER),
    )  # fmt: skip


class HfClip(TwoTowers):
    """A CLIP or SigLIP, whose features equal transformers' own.

    Args:
        hub_folder: configuration, weights, tokenizer and preparation of images.
        dtype: precision of the image tower; texts are always encoded in float32, and features are float32.

    Raises:
        UserError: a file is missing or cannot be read, or holds another network.
    """

    def __init__(
        self,
        hub_folder: HubFolder,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        attention: str = "sdpa",
    ) -> None:
        folder, reader = hub_folder.folder(), TextReader(hub_folder)
        mean, std = _mean_and_std(folder)
        model = _load(folder, attention).to(device)
        visual = _Tower(model.vision_model, getattr(model, "visual_projection", None)).to(dtype)
        text = _Tower(model.text_model, getattr(model, "text_projection", None))
        super().__init__(
            visual, text, reader.tokens, image_size_px=_size_px(model, folder), dim=_features(model),
            digest=hub_folder.digest(), mean=mean, std=std, device=device, dtype=dtype, attention=attention,
        )  # fmt: skip


class TextReader:
    """Maps texts to tokens. SigLIP was trained on texts in lower case, padded to the context length.

    Raises:
        UserError: the folder's configuration or tokenizer is missing or cannot be read.
    """

    def __init__(self, hub_folder: HubFolder) -> None:
        folder = hub_folder.folder()
        self._lower = model_type(folder) == "siglip"
        config = _transformers().AutoConfig.from_pretrained(str(folder), local_files_only=True)
        self._length: int = config.text_config.max_position_embeddings
        self._tokenizer = _tokenizer(folder, hub_folder.config_digest())

    def tokens(self, texts: Sequence[str]) -> Int[Tensor, "n tokens"]:
        """As many tokens of each text as the context is long."""
        return torch.tensor([
            self._read(text, padding="max_length", truncation=True, max_length=self._length) for text in texts
        ])  # fmt: skip

    def lost_words(self, text: str) -> tuple[str, ...]:
        """Words beyond the context length."""
        return words_beyond(text, self._length, self._read)

    def _read(self, text: str, **options: Any) -> list[int]:
        return self._tokenizer(text.lower() if self._lower else text, **options).input_ids


class _Tower(nn.Module):
    """What `get_image_features` or `get_text_features` computes; SigLIP has no projection."""

    def __init__(self, tower: nn.Module, projection: nn.Module | None) -> None:
        super().__init__()
        self.tower, self.projection = tower, projection or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.projection(self.tower(x).pooler_output)


def _features(model: Any) -> int:
    """Number of features: SigLIP's vision tower has no projection."""
    return getattr(model.config, "projection_dim", None) or model.config.vision_config.hidden_size


def _load(folder: Path, attention: str) -> Any:
    """The network, float32, frozen, on the CPU.

    Raises:
        UserError: transformers is missing, or the folder does not hold all weights of a CLIP.
    """
    kind = getattr(_transformers(), KINDS[model_type(folder)])
    what, prefix = "CLIP", {r"^module\.": ""}  # of DataParallel
    model, missing = load_pretrained(
        kind, folder, what=what, attention=attention, remedy=f"download it again, or {_REMEDY}", key_mapping=prefix
    )
    if missing:
        raise UserError(
            f"{what}: expected weights of {model_type(folder)} in {folder}, got none for {len(missing)} of its names, "
            f"for instance {missing[0]}; {_REMEDY}."
        )
    return model


def model_type(folder: Path) -> str:
    """The kind of network that the folder's configuration describes, one of `KINDS`.

    Raises:
        UserError: it is another one.
    """
    kind = _read(folder, "config.json").get("model_type")
    if kind == "siglip2":
        raise UserError(
            f"CLIP: {folder} has a SigLIP 2 for images of any shape (NaFlex); use one of a fixed size, for instance "
            "models.name=google/siglip2-base-patch16-224."
        )
    if kind not in KINDS:
        raise UserError(f"CLIP: expected a model of type {' or '.join(KINDS)} in {folder}, got {kind!r}; {_REMEDY}.")
    return str(kind)


def _size_px(model: Any, folder: Path) -> int:
    size_px = model.config.vision_config.image_size
    if not isinstance(size_px, int):
        raise UserError(f"CLIP: expected a model for square images in {folder}, got {size_px}; {_REMEDY}.")
    return size_px


def _mean_and_std(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Normalisation of the network's input colours.

    Raises:
        UserError: the folder does not say.
    """
    name = next((name for name in _PREPARATION if (folder / name).is_file()), _PREPARATION[0])
    preparation = _read(folder, name)
    preparation = preparation.get("image_processor", preparation)
    try:
        return tuple(preparation["image_mean"]), tuple(preparation["image_std"])
    except (KeyError, TypeError) as error:
        raise UserError(
            f"CLIP: expected image_mean and image_std in {folder / name}, got other settings; {_REMEDY}."
        ) from error


@functools.lru_cache(maxsize=1)
def _tokenizer(folder: Path, _config_digest: str) -> Any:
    try:
        return _transformers().AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except ImportError as error:
        raise missing_extra("sentencepiece", error) from error
    except Exception as error:  # transformers raises many types of errors for an unusable folder
        raise UserError(
            f"CLIP: transformers cannot load the tokenizer in {folder} (“{first_line(error)}”); {_REMEDY}."
        ) from error


def _read(folder: Path, name: str) -> dict[str, Any]:
    """A file of settings.

    Raises:
        UserError: it is missing or cannot be read.
    """
    try:
        settings = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"CLIP: cannot read {folder / name} (“{first_line(error)}”); {_REMEDY}.") from error
    if not isinstance(settings, dict):
        raise UserError(f"CLIP: expected settings in {folder / name}, got other data; {_REMEDY}.")
    return settings


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise missing_extra("transformers", error) from error
    return transformers
