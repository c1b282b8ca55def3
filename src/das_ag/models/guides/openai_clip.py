"""The choice `models=openai_clip`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from das_ag.errors import UserError
from das_ag.models.guides.clip_choice import ClipChoice

if TYPE_CHECKING:
    import torch

    from das_ag.models.clip import OpenAIClip
    from das_ag.models.contracts import ImageTextModel
    from das_ag.models.files import WeightFile


@dataclass(frozen=True)
class OpenAIClipChoice(ClipChoice):
    """OpenAI's CLIP; `name` is one of `clip.available_models()`, and `path` may also come from the environment."""

    places: ClassVar = ("name", "path", "head")

    @override
    def identity(self) -> dict[str, Any]:
        """The options; names only where they are not the published experiment's, whose samples record none."""
        from das_ag.models.sources import HEADS

        name = {} if self.name == "ViT-L/14" else {"name": self.name}
        return super().identity() | name | ({"head": self.head} if self.head in HEADS else {})

    @property
    @override
    def features(self) -> str:
        return self.name

    @override
    def clip_file(self) -> WeightFile:
        from das_ag.models.sources import clip_file

        return clip_file(self.name, self.path)

    @override
    def digests(self) -> dict[str, str]:
        from das_ag.models.sources import check_names

        digests = super().digests()
        check_names(self.name, digests, "models")
        return digests

    @override
    def lost_words(self, text: str) -> tuple[str, ...]:
        from das_ag.models import clip

        try:
            return clip.lost_words(text, clip.VIT_L_14["context_length"])
        except UserError:  # CLIP's package is missing; `load` reports it
            return ()

    @override
    def load_clip(self, device: torch.device, dtype: torch.dtype) -> OpenAIClip:
        from das_ag.models.clip import OpenAIClip

        return OpenAIClip(self.clip_file().path, device=device, dtype=dtype, attention=self.attention)

    @override
    def draw_initial_weights(self, image_text: ImageTextModel) -> None:
        from das_ag.models import aesthetic, clip

        assert isinstance(image_text, clip.OpenAIClip)
        aesthetic.draw_initial_weights()
        clip.draw_initial_weights(image_text.architecture)
