"""The choice `models=openai_clip`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from das_ag.errors import UserError
from das_ag.models.registry import GuideChoice

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from das_ag.models.contracts import FeatureRater, ImageTextModel
    from das_ag.models.sources import WeightFile

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenAIClipChoice(GuideChoice):
    """OpenAI's CLIP, with a LAION head on its features if there is one.

    Attributes:
        name: name of the CLIP in `clip.available_models()`; it also selects the head.
        path: path to a checkpoint; None for the environment's path, else the cache.
        head: path to an aesthetic head, or name of a published one; None for the one that fits the CLIP.
        attention: kernel of the image tower.
        guide_dropout: whether the head's dropout stays on while it guides, as in the published program.
    """

    name: str
    path: str | None
    head: str | None
    attention: str
    guide_dropout: bool

    places: ClassVar = ("name", "path", "head")

    @property
    @override
    def title(self) -> str:
        head = self._head()
        return f"OpenAI's CLIP {self.name} " + (f"with the head {head.path.name}" if head else "without a head")

    @property
    @override
    def rates(self) -> bool:
        return self._head() is not None

    def _head(self) -> WeightFile | None:
        from das_ag.models.sources import head_file

        return head_file(self.name, self.head)

    @override
    def check(self, device: torch.device, dtype: torch.dtype) -> None:
        from das_ag.models.attention import check_kernel

        check_kernel(self.attention, "models.attention", device, dtype)

    @override
    def files(self) -> dict[str, WeightFile]:
        from das_ag.models.sources import clip_file

        files = {"clip": clip_file(self.name, self.path)}
        head = self._head()
        return files if head is None else files | {"head": head}

    @override
    def digests(self) -> dict[str, str]:
        from das_ag.models.sources import fetch_all

        files = self.files()
        fetch_all(files.values())
        digests = {role: file.digest() for role, file in files.items()}
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
    def load(self, device: torch.device, dtype: torch.dtype) -> tuple[ImageTextModel, FeatureRater | None]:
        from das_ag.models.aesthetic import DROPOUT, LaionHead
        from das_ag.models.clip import OpenAIClip
        from das_ag.models.sources import clip_of_head

        files = self.files()
        image_text = OpenAIClip(files["clip"].path, device=device, dtype=dtype, attention=self.attention)
        if "head" not in files:
            return image_text, None
        dropout = DROPOUT if self.guide_dropout else ()
        head = LaionHead(files["head"].path, inputs=image_text.dim, device=device, dropout=dropout)
        if clip_of_head(head.digest) is None:
            log.warning("%s: this is not a published file", files["head"].what)
        return image_text, head

    @override
    def draw_initial_weights(self, image_text: ImageTextModel) -> None:
        from das_ag.models import aesthetic, clip

        assert isinstance(image_text, clip.OpenAIClip)
        aesthetic.draw_initial_weights()
        clip.draw_initial_weights(image_text.architecture)


def check_names(name: str, digests: Mapping[str, str], group: str) -> None:
    """Checks that no file is a published one for another CLIP, since 768 features are not only ViT-L/14's.

    Args:
        name: name of the CLIP.
        digests: SHA-256 of the file of the CLIP (`clip`) and of its head (`head`).
        group: where the configuration has their paths, for messages.

    Raises:
        UserError: a file is one for another CLIP.
    """
    from das_ag.models.sources import clip_of_archive, clip_of_head

    for option, role, published in (("path", "clip", clip_of_archive), ("head", "head", clip_of_head)):
        found = published(digests.get(role, ""))
        if found not in (None, name):
            raise UserError(
                f"{group}.{option}: expected a file for {name}, got the published one for {found}; use "
                f"{group}.name={found}, or another file."
            )
