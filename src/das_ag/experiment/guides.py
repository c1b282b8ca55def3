"""The frozen networks that can guide: a choice of `models=`, its options, and how it is loaded."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from das_ag.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from das_ag.models import FeatureRater, ImageTextModel
    from das_ag.models.sources import WeightFile
    from das_ag.synthesis import Guide

log = logging.getLogger(__name__)


@runtime_checkable
class GuideChoice(Protocol):
    """A choice of `models=`; its fields are the options of that group."""

    @property
    def family(self) -> str:
        """Its name, a key of `GUIDES`."""

    def identity(self) -> dict[str, Any]:
        """Those options that change an image; not where files lie."""

    def check(self, device: torch.device, dtype: torch.dtype) -> None:
        """Raises UserError where the options cannot work on this device at this precision."""

    def digests(self) -> dict[str, str]:
        """SHA-256 of each file of weights by role, without loading them; what may be downloaded is."""

    def content_words(self, text: str) -> tuple[str, ...]:
        """Words of a text that describe something to the networks."""

    def load(self, device: torch.device, dtype: torch.dtype) -> tuple[ImageTextModel, FeatureRater]:
        """The networks."""

    def draw_initial_weights(self, image_text: ImageTextModel) -> None:
        """Draws from torch's default generator what the published program draws when it makes its networks."""


@dataclass(frozen=True)
class EmbeddedGuideChoice:
    """The small networks shipped with the package."""

    family: str

    def identity(self) -> dict[str, Any]:
        """See `GuideChoice`."""
        return dataclasses.asdict(self)

    def check(self, device: torch.device, dtype: torch.dtype) -> None:
        """See `GuideChoice`."""

    def digests(self) -> dict[str, str]:
        """See `GuideChoice`."""
        from das_ag.models import embedded

        return {"guide": embedded.digest("guide")}

    def content_words(self, text: str) -> tuple[str, ...]:
        """See `GuideChoice`."""
        from das_ag.models import embedded

        return embedded.load_tokenizer("guide").content_words(text)

    def load(self, device: torch.device, dtype: torch.dtype) -> tuple[ImageTextModel, FeatureRater]:
        """See `GuideChoice`."""
        from das_ag.models.embedded import EmbeddedGuide

        guide = EmbeddedGuide(device=device, dtype=dtype)
        return guide, guide

    def draw_initial_weights(self, image_text: ImageTextModel) -> None:
        """See `GuideChoice`; the published program knows no such networks."""


@dataclass(frozen=True)
class OpenAIClipChoice:
    """OpenAI's CLIP and the LAION head on its features.

    Attributes:
        name: of the CLIP, as `clip.available_models()` lists it; not used where there is a path.
        path: to a checkpoint.
        head_path: to the LAION head.
        attention: kernel of the image tower.
        guide_dropout: whether the head's dropout stays on while it guides, as in the published program.
    """

    family: str
    name: str
    path: str | None
    head_path: str | None
    attention: str
    guide_dropout: bool

    places: ClassVar = ("name", "path", "head_path")
    """Options that only say where weights lie, which their digests tell better."""

    def identity(self) -> dict[str, Any]:
        """See `GuideChoice`."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in self.places}

    def check(self, device: torch.device, dtype: torch.dtype) -> None:
        """See `GuideChoice`."""
        from das_ag.models.attention import check_kernel

        check_kernel(self.attention, "models.attention", device, dtype)

    def files(self) -> dict[str, WeightFile]:
        """The files of weights by role.

        Raises:
            UserError: there is no CLIP of that name.
        """
        from das_ag.models.sources import clip_file, laion_file

        return {"clip": clip_file(self.name, self.path), "head": laion_file(self.head_path)}

    def digests(self) -> dict[str, str]:
        """See `GuideChoice`."""
        files = self.files()
        for file in files.values():
            file.fetch()
        return {role: file.digest() for role, file in files.items()}

    def content_words(self, text: str) -> tuple[str, ...]:
        """See `GuideChoice`; CLIP has read everything."""
        return tuple(text.split())

    def load(self, device: torch.device, dtype: torch.dtype) -> tuple[ImageTextModel, FeatureRater]:
        """See `GuideChoice`."""
        from das_ag.models.aesthetic import DROPOUT, INPUTS, LaionHead
        from das_ag.models.clip import OpenAIClip

        files = self.files()
        head = LaionHead(files["head"].path, device=device, dropout=DROPOUT if self.guide_dropout else ())
        if head.digest != files["head"].sha256:
            log.warning("%s: %s is not the published file", files["head"].what, files["head"].path)
        image_text = OpenAIClip(files["clip"].path, device=device, dtype=dtype, attention=self.attention)
        if image_text.dim != INPUTS:
            raise UserError(
                f"models.name: expected a CLIP with {INPUTS} features, which the LAION head reads, got "
                f"{image_text.dim} from {files['clip'].path}; use ViT-L/14."
            )
        return image_text, head

    def draw_initial_weights(self, image_text: ImageTextModel) -> None:
        """See `GuideChoice`: the head's five layers, then CLIP."""
        from das_ag.models import aesthetic, clip

        assert isinstance(image_text, clip.OpenAIClip)
        aesthetic.draw_initial_weights()
        clip.draw_initial_weights(image_text.architecture)


GUIDES: dict[str, type[EmbeddedGuideChoice] | type[OpenAIClipChoice]] = {
    "embedded": EmbeddedGuideChoice,
    "openai_clip": OpenAIClipChoice,
}
"""Choices of `models.family`."""


class LoadedGuide:
    """Networks ready for ascent, their text tower already gone.

    Attributes:
        functions: what the ascent needs of them.
        text_features: L2-normalised features (D,) by text.
        lost_words: words of a text that the networks do not see, by text.
    """

    def __init__(self, choice: GuideChoice, texts: Sequence[str], device: torch.device, dtype: torch.dtype) -> None:
        from das_ag.synthesis import Guide

        image_text, rater = choice.load(device, dtype)
        # One at a time: in company a text's last bits may change.
        self.text_features: Mapping[str, Tensor] = {text: image_text.encode_texts([text])[0] for text in texts}
        self.lost_words = {text: image_text.lost_words(text) for text in texts}
        image_text.release_texts()
        self.functions: Guide = Guide(
            image_text.image_size_px, image_text.encode_images, rater.rate_features, rater.dropout
        )
        self._draw_initial_weights: Callable[[], None] = lambda: choice.draw_initial_weights(image_text)
        self._published_states: dict[int, Tensor] = {}

    def published_state(self, seed: int) -> Tensor:
        """State of the CPU's generator when the published program, started with `seed`, has made its networks."""
        import torch

        from das_ag.synthesis import as_default

        if seed not in self._published_states:
            generator = torch.Generator().manual_seed(seed)
            with as_default(generator):
                self._draw_initial_weights()
            self._published_states[seed] = generator.get_state()
        return self._published_states[seed]


_loaded: dict[object, LoadedGuide] = {}


def load_guide(choice: GuideChoice, texts: Sequence[str], device: torch.device, dtype: torch.dtype) -> LoadedGuide:
    """The guide's networks; the jobs of a sweep share them, and no more than one set is held."""
    key = (choice, tuple(texts), device, dtype)
    if key not in _loaded:
        release_guide()
        _loaded[key] = LoadedGuide(choice, texts, device, dtype)
    return _loaded[key]


def release_guide() -> None:
    """Gives the memory of the guide's networks back."""
    import gc

    import torch

    if _loaded:
        _loaded.clear()
        gc.collect()
        torch.cuda.empty_cache()
