"""The choice `models=openai_clip`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from das_ag.errors import UserError
from das_ag.models.registry import GuideChoice

if TYPE_CHECKING:
    import torch

    from das_ag.models.contracts import FeatureRater, ImageTextModel
    from das_ag.models.sources import WeightFile

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenAIClipChoice(GuideChoice):
    """OpenAI's CLIP and the LAION head on its features.

    Attributes:
        name: name of the CLIP in `clip.available_models()`; ignored if there is a path.
        path: path to a checkpoint.
        head_path: path to the LAION head.
        attention: kernel of the image tower.
        guide_dropout: whether the head's dropout stays on while it guides, as in the published program.
    """

    name: str
    path: str | None
    head_path: str | None
    attention: str
    guide_dropout: bool

    places: ClassVar = ("name", "path", "head_path")

    @override
    def check(self, device: torch.device, dtype: torch.dtype) -> None:
        from das_ag.models.attention import check_kernel

        check_kernel(self.attention, "models.attention", device, dtype)

    @override
    def files(self) -> dict[str, WeightFile]:
        from das_ag.models.sources import clip_file, laion_file

        return {"clip": clip_file(self.name, self.path), "head": laion_file(self.head_path)}

    @override
    def digests(self) -> dict[str, str]:
        from das_ag.models.sources import fetch_all

        files = self.files()
        fetch_all(files.values())
        return {role: file.digest() for role, file in files.items()}

    @override
    def lost_words(self, text: str) -> tuple[str, ...]:
        from das_ag.models import clip

        try:
            return clip.lost_words(text, clip.VIT_L_14["context_length"])
        except UserError:  # CLIP's package is missing; `load` reports it
            return ()

    @override
    def load(self, device: torch.device, dtype: torch.dtype) -> tuple[ImageTextModel, FeatureRater]:
        from das_ag.models.aesthetic import DROPOUT, INPUTS, LaionHead
        from das_ag.models.clip import OpenAIClip

        files = self.files()
        head = LaionHead(files["head"].path, device=device, dropout=DROPOUT if self.guide_dropout else ())
        if head.digest != files["head"].sha256:
            log.warning("%s: %s is not the published file", files["head"].what, files["head"].path)
        image_text = OpenAIClip(files["clip"].path, device=device, dtype=dtype, attention=self.attention)
        if image_text.dim != INPUTS:
            raise UserError(
                f"models.name: the LAION head needs a CLIP with {INPUTS} features, got {image_text.dim} from "
                f"{files['clip'].path}; use ViT-L/14."
            )
        return image_text, head

    @override
    def draw_initial_weights(self, image_text: ImageTextModel) -> None:
        from das_ag.models import aesthetic, clip

        assert isinstance(image_text, clip.OpenAIClip)
        aesthetic.draw_initial_weights()
        clip.draw_initial_weights(image_text.architecture)
