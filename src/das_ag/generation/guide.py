"""The guide's networks, loaded once for all jobs of a process, with the texts that they have read."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from das_ag.generation.published import as_default
from das_ag.models.registry import GuideChoice
from das_ag.synthesis.objective import Guide


class LoadedGuide:
    """Networks ready for ascent.

    Attributes:
        functions: what the ascent needs of them.
        text_features: L2-normalised features (D,) by text that was read.
        lost_words: words that the networks do not see, by text that was read.
    """

    def __init__(self, choice: GuideChoice, device: torch.device, dtype: torch.dtype) -> None:
        image_text, rater = choice.load(device, dtype)
        self._choice, self._image_text, self._can_read = choice, image_text, True
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
                self.lost_words[text] = self._choice.lost_words(text)

    def release_texts(self) -> None:
        """Gives the memory of the text tower back; what was read stays known."""
        if self._can_read:
            self._image_text.release_texts()
            self._can_read = False

    def published_state(self, seed: int) -> Tensor:
        """State of the CPU's generator when the published program, started with `seed`, has made its networks."""
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
    if _loaded:
        _loaded.clear()
        gc.collect()
        torch.cuda.empty_cache()
