"""The frozen networks that can guide: a choice of `models=`, its options, and how it is loaded."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from das_ag.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from das_ag.experiment.samples import Sample
    from das_ag.models.contracts import FeatureRater, ImageTextModel
    from das_ag.models.sources import WeightFile
    from das_ag.synthesis import Guide

log = logging.getLogger(__name__)


@runtime_checkable
class GuideChoice(Protocol):
    """A choice of `models=`; its fields are the options of that group."""

    @property
    def family(self) -> str:
        """Its name, which is that of its file in conf/models."""

    @property
    def rates(self) -> bool:
        """Whether the networks rate images, which every method but DAS needs."""

    @property
    def advice(self) -> str:
        """What to write in place of a text without content: the end of a sentence."""

    def identity(self) -> dict[str, Any]:
        """Those options that change an image; not where files lie."""

    def check(self, device: torch.device, dtype: torch.dtype) -> None:
        """Raises UserError where the options cannot work on this device at this precision."""

    def digests(self) -> dict[str, str]:
        """SHA-256 of each file of weights by role, without loading them; what may be downloaded is."""

    def without_content(self, texts: Sequence[str]) -> list[str]:
        """Those of the texts of which no word describes something to the networks."""

    def lost_words(self, text: str) -> tuple[str, ...]:
        """Words of the text that the networks will not see, as far as that is known before they are loaded."""

    def nearest_words(self, word: str) -> tuple[str, ...]:
        """Known words that a lost one may have been meant for."""

    def load(self, device: torch.device, dtype: torch.dtype) -> tuple[ImageTextModel, FeatureRater]:
        """The networks."""

    def draw_initial_weights(self, image_text: ImageTextModel) -> None:
        """Draws from torch's default generator what the published program draws when it makes its networks."""


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

    rates: ClassVar = True
    advice: ClassVar = "write a text"
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

    def without_content(self, texts: Sequence[str]) -> list[str]:
        """See `GuideChoice`; CLIP has read everything."""
        return [text for text in texts if not text.split()]

    def lost_words(self, text: str) -> tuple[str, ...]:
        """See `GuideChoice`; the context is that of every CLIP which OpenAI published."""
        from das_ag.models import clip

        try:
            return clip.lost_words(text, clip.VIT_L_14["context_length"])
        except UserError:  # without CLIP's package nothing can be made either, which is told elsewhere
            return ()

    def nearest_words(self, word: str) -> tuple[str, ...]:  # noqa: ARG002  CLIP knows every word, but not so many
        """See `GuideChoice`."""
        return ()

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


GUIDES = {
    "imagenet": "das_ag.experiment.imagenet.ImagenetChoice",
    "openai_clip": "das_ag.experiment.guides.OpenAIClipChoice",
}
"""Classes by `models.family`, imported when they are chosen."""


def check_family(sample: Sample) -> None:
    """Sees that this version still has the networks that guided a sample.

    Raises:
        UserError: only an earlier version has them.
    """
    if version := sample.only_by_version:
        raise UserError(
            f"{sample.name}: version {version} of das-ag made it with models that this version no longer has; use that "
            "version."
        )


class LoadedGuide:
    """Networks ready for ascent.

    Attributes:
        functions: what the ascent needs of them.
        text_features: L2-normalised features (D,) by text that was read.
        lost_words: words that the networks do not see, by text that was read.
    """

    def __init__(self, choice: GuideChoice, device: torch.device, dtype: torch.dtype) -> None:
        from das_ag.synthesis import Guide

        image_text, rater = choice.load(device, dtype)
        self._image_text, self._can_read = image_text, True
        self.text_features: dict[str, Tensor] = {}
        self.lost_words: dict[str, tuple[str, ...]] = {}
        rate_features = rater.rate_features if choice.rates else None
        self.functions: Guide = Guide(image_text.image_size_px, image_text.encode_images, rate_features, rater.dropout)
        self._draw_initial_weights: Callable[[], None] = lambda: choice.draw_initial_weights(image_text)
        self._published_states: dict[int, Tensor] = {}

    def knows(self, texts: Sequence[str]) -> bool:
        """Whether it has read these texts, or still can."""
        return self._can_read or all(text in self.text_features for text in texts)

    def read(self, texts: Sequence[str]) -> None:
        """Encodes those of the texts that it does not know yet."""
        for text in texts:
            if text not in self.text_features:
                # One at a time: in company a text's last bits may change.
                self.text_features[text] = self._image_text.encode_texts([text])[0]
                self.lost_words[text] = self._image_text.lost_words(text)

    def release_texts(self) -> None:
        """Gives the memory of the text tower back; what was read stays known."""
        if self._can_read:
            self._image_text.release_texts()
            self._can_read = False

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


def load_guide(
    choice: GuideChoice,
    texts: Sequence[str],
    device: torch.device,
    dtype: torch.dtype,
    *,
    keep_text_tower: bool = False,
) -> LoadedGuide:
    """The guide's networks, which know these texts; the jobs of a process share them, and one set at most is held.

    Args:
        keep_text_tower: for other texts to come; else its memory is given back.
    """
    key = (choice, device, dtype)
    if key not in _loaded or not _loaded[key].knows(texts):
        release_guide()
        _loaded[key] = LoadedGuide(choice, device, dtype)
    guide = _loaded[key]
    guide.read(texts)
    if not keep_text_tower:
        guide.release_texts()
    return guide


def release_guide() -> None:
    """Gives the memory of the guide's networks back."""
    import gc

    import torch

    if _loaded:
        _loaded.clear()
        gc.collect()
        torch.cuda.empty_cache()
