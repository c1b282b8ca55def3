"""What the choices of `models=` for a CLIP share, whichever package reads it."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from das_ag.models.registry import GuideChoice

if TYPE_CHECKING:
    import torch

    from das_ag.models.contracts import FeatureRater, ImageTextModel
    from das_ag.models.files import WeightFile
    from das_ag.models.hub import HubFolder
    from das_ag.models.towers import TwoTowers

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClipChoice(GuideChoice):
    """A CLIP, with a LAION head on its features if there is one.

    Attributes:
        name: name of the CLIP.
        path: path to the user's own weights; None for the cache, else a download.
        head: path to an aesthetic head, or name of a published one; None for the one that fits the CLIP.
        attention: kernel of the image tower.
        guide_dropout: whether the head's dropout stays on while it guides, as in the published program.
    """

    name: str
    path: str | None
    head: str | None
    attention: str
    guide_dropout: bool

    places: ClassVar[tuple[str, ...]] = ("path", "head")

    @property
    @abstractmethod
    def features(self) -> str | None:
        """Whose features it has: OpenAI's name of a CLIP, or another name; None if nobody can tell."""

    @abstractmethod
    def clip_file(self) -> WeightFile | HubFolder:
        """The weights of the CLIP."""

    @abstractmethod
    def load_clip(self, device: torch.device, dtype: torch.dtype) -> TwoTowers:
        """Loads the CLIP."""

    @property
    @override
    def title(self) -> str:
        head = self.head_file()
        return f"CLIP {self.name} " + (f"with the head {head.path.name}" if head else "without a head")

    @property
    @override
    def rates(self) -> bool:
        return self.head_file() is not None

    def head_file(self) -> WeightFile | None:
        """The head; None if there is none for these features."""
        from das_ag.models.sources import head_file

        return head_file(self.features, self.head)

    @override
    def check(self, device: torch.device, dtype: torch.dtype) -> None:
        from das_ag.models.attention import check_kernel

        check_kernel(self.attention, "models.attention", device, dtype)

    @override
    def files(self) -> Mapping[str, WeightFile | HubFolder]:
        head = self.head_file()
        return {"clip": self.clip_file()} | ({"head": head} if head else {})

    @override
    def digests(self) -> dict[str, str]:
        from das_ag.models.files import fetch_all
        from das_ag.models.sources import check_names

        files = self.files()
        fetch_all(files.values())
        digests = {role: file.digest() for role, file in files.items()}
        check_names(self.features, {role: digest for role, digest in digests.items() if role == "head"}, "models")
        return digests

    @override
    def load(self, device: torch.device, dtype: torch.dtype) -> tuple[ImageTextModel, FeatureRater | None]:
        from das_ag.models.aesthetic import DROPOUT, LaionHead
        from das_ag.models.sources import clip_of_head

        image_text, file = self.load_clip(device, dtype), self.head_file()
        if file is None:
            return image_text, None
        dropout = DROPOUT if self.guide_dropout else ()
        head = LaionHead(file.path, inputs=image_text.dim, device=device, dropout=dropout)
        if clip_of_head(head.digest) is None:
            log.warning("%s: this is not a published file", file.what)
        return image_text, head
