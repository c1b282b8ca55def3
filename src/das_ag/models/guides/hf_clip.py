"""The choice `models=hf_clip`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from das_ag.errors import UserError
from das_ag.models.guides.clip_choice import ClipChoice

if TYPE_CHECKING:
    import torch

    from das_ag.models.hf_clip import HfClip
    from das_ag.models.hub import HubFolder


@dataclass(frozen=True)
class HfClipChoice(ClipChoice):
    """A CLIP or SigLIP in the layout of the Hugging Face hub; `path` is a folder, which makes the name meaningless."""

    @property
    @override
    def features(self) -> str | None:
        from das_ag.models.sources import OPENAI_CLIPS

        if self.path:
            return None
        return next((name for name, (_, on_hub) in OPENAI_CLIPS.items() if on_hub == self.name), self.name)

    @override
    def identity(self) -> dict[str, Any]:
        return super().identity() | ({"name": ""} if self.path else {})

    @override
    def clip_file(self) -> HubFolder:
        from das_ag.models.hf_clip import hub_folder

        return hub_folder(self.name, self.path)

    @override
    def digests(self) -> dict[str, str]:
        from das_ag.models.hf_clip import model_type

        digests, folder = super().digests(), self.clip_file()
        model_type(folder.folder())
        return digests | {"clip_config": folder.config_digest()}

    @override
    def lost_words(self, text: str) -> tuple[str, ...]:
        from das_ag.models.hf_clip import TextReader

        folder = self.clip_file()
        try:
            return TextReader(folder).lost_words(text) if folder.is_there() else ()
        except UserError:  # `load` reports it
            return ()

    @override
    def load_clip(self, device: torch.device, dtype: torch.dtype) -> HfClip:
        from das_ag.models.hf_clip import HfClip

        return HfClip(self.clip_file(), device=device, dtype=dtype, attention=self.attention)
