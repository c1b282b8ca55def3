"""Loads the guide's networks, once for all jobs of a process."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import torch
from torch import Tensor

from das_ag.generation.published import as_default
from das_ag.models.precision import dtype_of
from das_ag.models.registry import GuideChoice
from das_ag.settings.plan import Plan
from das_ag.store.samples import Sample
from das_ag.synthesis.objective import Guide


class LoadedGuide:
    """The guide's networks and the features of texts.

    Attributes:
        functions: the networks as functions for the ascent.
        text_features: L2-normalised features (D,) of each encoded text, by text.
    """

    def __init__(self, choice: GuideChoice, device: torch.device, dtype: torch.dtype) -> None:
        image_text, rater = choice.load(device, dtype)
        self._choice, self._image_text, self._can_read = choice, image_text, True
        self.text_features: dict[str, Tensor] = {}
        rate_features = rater.rate_features if rater and choice.rates else None
        dropout = rater.dropout if rater else ()
        self.functions: Guide = Guide(image_text.image_size_px, image_text.encode_images, rate_features, dropout)
        self._published_states: dict[int, Tensor] = {}

    def knows(self, texts: Sequence[str]) -> bool:
        """Whether these texts are encoded, or can still be encoded."""
        return self._can_read or all(text in self.text_features for text in texts)

    def read(self, texts: Sequence[str]) -> None:
        """Encodes the texts that are not encoded yet."""
        for text in texts:
            if text not in self.text_features:
                # One at a time, since the last bits would depend on the batch's composition.
                self.text_features[text] = self._image_text.encode_texts([text])[0]

    def release_texts(self) -> None:
        """Releases the memory of the text tower; the features of encoded texts stay."""
        if self._can_read:
            self._image_text.release_texts()
            self._can_read = False

    def published_state(self, seed: int) -> Tensor:
        """State of the CPU's generator after the published program, started with `seed`, has created its networks."""
        if seed not in self._published_states:
            generator = torch.Generator().manual_seed(seed)
            with as_default(generator):
                self._choice.draw_initial_weights(self._image_text)
            self._published_states[seed] = generator.get_state()
        return self._published_states[seed]


_loaded: dict[object, LoadedGuide] = {}


def guide_of(
    plan: Plan, samples: Sequence[Sample], device: torch.device, *, keep_text_tower: bool = False
) -> LoadedGuide:
    """The plan's guide, with all texts of these samples encoded.

    All jobs of a process share it, and at most one guide is in memory.

    Args:
        keep_text_tower: whether to keep the text tower for other texts; otherwise its memory is released.
    """
    dtype, texts = dtype_of(plan.settings.precision, "runtime.precision"), texts_of(samples)
    key = (plan.guide, device, dtype)
    if key not in _loaded or not _loaded[key].knows(texts):
        release_guide()
        _loaded[key] = LoadedGuide(plan.guide, device, dtype)
    guide = _loaded[key]
    guide.read(texts)
    if not keep_text_tower:
        guide.release_texts()
    return guide


def texts_of(samples: Sequence[Sample]) -> tuple[str, ...]:
    """All texts of the samples, without repetition."""
    return tuple(dict.fromkeys(text for sample in samples for text in (*sample.positive, *sample.negative)))


def release_guide() -> None:
    """Releases the memory of the guide's networks."""
    if _loaded:
        _loaded.clear()
        gc.collect()
        torch.cuda.empty_cache()
