"""The choice `models=open_clip`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from das_ag.errors import UserError
from das_ag.models.guides.clip_choice import ClipChoice

if TYPE_CHECKING:
    import torch

    from das_ag.models.files import WeightFile
    from das_ag.models.hub import HubFolder
    from das_ag.models.open_clip import OpenClip, Pretrained


@dataclass(frozen=True)
class OpenClipChoice(ClipChoice):
    """A CLIP of open_clip.

    Attributes:
        pretrained: tag of the weights in `open_clip.list_pretrained()`; None for the user's own training, at `path`.
    """

    pretrained: str | None

    def _pretrained(self) -> Pretrained:
        from das_ag.models.open_clip import pretrained

        return pretrained(self.name, self.pretrained)

    @property
    @override
    def features(self) -> str | None:
        return self._pretrained().openai_name or (f"{self.name} {self.pretrained}" if self.pretrained else None)

    @override
    def clip_file(self) -> WeightFile | HubFolder:
        return self._pretrained().file(self.path)

    @override
    def lost_words(self, text: str) -> tuple[str, ...]:
        try:
            return self._pretrained().lost_words(text)
        except UserError:  # `check` reports it
            return ()

    @override
    def load_clip(self, device: torch.device, dtype: torch.dtype) -> OpenClip:
        from das_ag.models.open_clip import OpenClip, weights_path

        path = weights_path(self.clip_file())
        return OpenClip(self._pretrained(), path, device=device, dtype=dtype, attention=self.attention)
