"""CLIPs of the package open_clip: its architectures, with weights from its list or from a file."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from das_ag.colour import CLIP_MEAN, CLIP_STD
from das_ag.errors import UserError, did_you_mean, missing_extra
from das_ag.models.files import WeightFile
from das_ag.models.hub import HubFolder, weight_files
from das_ag.models.sources import CLIP_BYTES, OPENAI_CLIPS, cache_folder
from das_ag.models.towers import TwoTowers, convert, use_kernel, words_beyond
from das_ag.models.weights import check_file, load_state

_LICENCE = "see its page on the Hugging Face hub"
_UNUSED = ("logit_scale", "logit_bias", "input_resolution", "context_length", "vocab_size")
"""Numbers beside the weights that determine no feature; the last three are in OpenAI's archives."""


@dataclass(frozen=True)
class Pretrained:
    """An architecture of open_clip and a training of it.

    Attributes:
        name, tag: as in `open_clip.list_pretrained()`; no tag for the user's own training.
        architecture: arguments of `open_clip.CLIP` or `open_clip.CustomTextCLIP`.
        published: what open_clip's list says of the tag; empty without one.
    """

    name: str
    tag: str | None
    architecture: dict[str, Any]
    published: dict[str, Any]

    @property
    def openai_name(self) -> str | None:
        """OpenAI's name of the CLIP, if the weights are OpenAI's and a head fits them."""
        plain = self.name.removesuffix("-quickgelu")
        return next((name for name, (own, _) in OPENAI_CLIPS.items() if (own, "openai") == (plain, self.tag)), None)

    def file(self, path: str | None) -> WeightFile | HubFolder:
        """The weights: at the path, in the cache of OpenAI's package, or on the Hugging Face hub.

        Raises:
            UserError: there is neither a tag nor a path.
        """
        what, variable = f"CLIP {self.name} {self.tag}", "models.path"
        if path:
            return WeightFile(f"CLIP ({path})", variable, Path(path).expanduser(), True, None, None, _LICENCE)
        if self.tag is None:
            raise UserError("models.pretrained: expected a tag, got null; choose one, or give models.path.")
        url: str = self.published["url"]
        if "openaipublic" in url:  # the folder of the file is its checksum
            sha256, file = url.split("/")[-2:]
            size_bytes = CLIP_BYTES.get(self.openai_name or "")
            return WeightFile(what, variable, cache_folder("clip") / file, False, url, sha256, "MIT", size_bytes)
        name, file = os.path.split(self.published["hf_hub"])
        files = (Path(file).with_suffix(".safetensors").name, file) if file else _HUB_FILES
        return HubFolder(what, variable, _LICENCE, name, None, None, weights=files, required=())

    def tokenizer(self) -> Any:
        """Maps texts to tokens, truncated to the context length."""
        text = self.architecture["text_cfg"]
        return _tokenizer(text.get("context_length", 77), **text.get("tokenizer_kwargs", {}))

    def lost_words(self, text: str) -> tuple[str, ...]:
        """Words beyond the context length; the start and end tokens take two of its positions."""
        tokenizer = self.tokenizer()
        return words_beyond(text, tokenizer.context_length - 2, tokenizer.encode)


_HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def pretrained(name: str, tag: str | None) -> Pretrained:
    """What open_clip knows of a name and a tag.

    Raises:
        UserError: the name or the tag does not exist, they do not fit, or the architecture cannot guide.
    """
    package = open_clip_package()
    architecture = package.get_model_config(name)
    if architecture is None:
        hint = did_you_mean(name, package.list_models())
        raise UserError(f"models.name: open_clip has no model {name!r}.{hint} open_clip.list_models() lists them all.")
    _check_architecture(name, architecture)
    trainings = {own: package.get_pretrained_cfg(name, own) for own in package.list_pretrained_tags_by_model(name)}
    unfit = () if architecture.get("quick_gelu") else [t for t, known in trainings.items() if known.get("quick_gelu")]
    if tag is not None and tag not in trainings:
        fitting = ", ".join(own for own in trainings if own not in unfit)
        use = fitting or (f"models.name={name}-quickgelu" if unfit else "another model")
        raise UserError(
            f"models.pretrained: open_clip has no weights {tag!r} of {name}; use {use}, or null with models.path."
        )
    if tag in unfit:
        raise UserError(
            f"models.name: the weights {tag} were trained with QuickGELU, which {name} does not have; use "
            f"models.name={name}-quickgelu."
        )
    return Pretrained(name, tag, architecture, trainings[tag] if tag else {})


def _check_architecture(name: str, architecture: dict[str, Any]) -> None:
    text, size_px = architecture["text_cfg"], architecture["vision_cfg"].get("image_size", 224)
    if "multimodal_cfg" in architecture or "hf_model_name" in text or "hf_tokenizer_name" in text:
        raise UserError(
            f"models.name: expected a CLIP with open_clip's own tokenizer, got {name}; choose another, or use "
            "models=hf_clip, which reads SigLIP."
        )
    if not isinstance(size_px, int):
        raise UserError(f"models.name: expected a CLIP for square images, got {name} for {size_px}; choose another.")


class OpenClip(TwoTowers):
    """A CLIP of open_clip. Its features equal the package's own; in a vision transformer, the attention is ours.

    Args:
        clip: architecture and training.
        path: safetensors, state dict, training checkpoint or TorchScript archive, whose code does not run.
        dtype: precision of the image tower; texts are always encoded in float32, and features are float32.

    Raises:
        UserError: the file is missing, or holds other weights.
    """

    def __init__(
        self, clip: Pretrained, path: Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32,
        attention: str = "sdpa",
    ) -> None:  # fmt: skip
        digest = check_file(path, what=f"CLIP {clip.name}", remedy="correct models.path")
        model = _build(clip, path, dtype).to(device)
        visual = model.visual
        del model.visual
        use_kernel(visual, attention)
        if "timm_model_name" in clip.architecture["vision_cfg"]:
            visual.to(dtype)  # its normalisation layers need inputs of their own type
        else:
            convert(visual, dtype)
        tokenizer = clip.tokenizer()
        super().__init__(
            visual, model.encode_text, lambda texts: tokenizer(list(texts)),
            image_size_px=clip.architecture["vision_cfg"].get("image_size", 224), dim=clip.architecture["embed_dim"],
            digest=digest, mean=clip.published.get("mean", CLIP_MEAN), std=clip.published.get("std", CLIP_STD),
            device=device, dtype=dtype, attention=attention,
        )  # fmt: skip


def _build(clip: Pretrained, path: Path, dtype: torch.dtype) -> Any:
    """The network with the weights of a file, float32, frozen, on the CPU.

    Raises:
        UserError: the file cannot be read, or its weights are those of another architecture.
    """
    package = open_clip_package()
    options = dict(clip.architecture)
    kind = package.CustomTextCLIP if options.pop("custom_text", False) else package.CLIP
    state = load_state(path, what=f"CLIP {clip.name}")
    with torch.random.fork_rng(devices=[]):  # random weights, which the file replaces
        model = kind(**options, cast_dtype=dtype)  # the type decides on layers, not on weights
    if kind is package.CustomTextCLIP:
        state = package.model.convert_to_custom_text_state_dict(state)
    own = model.state_dict()
    wrong = [name for name in {**own, **state} if name not in _UNUSED and not _fits(own.get(name), state.get(name))]
    if wrong:
        got = _what_differs(own, state, wrong[0])
        raise UserError(
            f"CLIP {clip.name}: expected weights of this architecture in {path}, got {got}; correct models.name or "
            "models.path."
        )
    model.load_state_dict({name: weight for name, weight in state.items() if name not in _UNUSED}, strict=False)
    return model.float().eval().requires_grad_(False)


def _fits(own: object, given: object) -> bool:
    return isinstance(own, torch.Tensor) and isinstance(given, torch.Tensor) and own.shape == given.shape


def _what_differs(own: dict[str, Any], state: dict[str, Any], name: str) -> str:
    if not own.keys() & state.keys():
        return "other names"
    return f"no {name}" if name not in state else f"{name} of another shape" if name in own else f"{name} too"


@functools.cache  # it reads a list of 49,000 tokens
def _tokenizer(context_length: int, **options: Any) -> Any:
    return open_clip_package().SimpleTokenizer(context_length=context_length, **options)


def open_clip_package() -> Any:
    """The package open_clip.

    Raises:
        UserError: it is not installed.
    """
    try:
        import open_clip
    except ImportError as error:
        raise missing_extra("open_clip", error, extra="open_clip") from error
    return open_clip


def weights_path(file: WeightFile | HubFolder) -> Path:
    """The file of weights on this machine.

    Raises:
        UserError: it is missing.
    """
    return file.path if isinstance(file, WeightFile) else weight_files(file.folder(), file.weights)[0]
