"""The sources of the real models' weights: addresses, paths, checksums, licences."""

from __future__ import annotations

import difflib
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from das_ag.errors import UserError, missing_extra
from das_ag.models.files import WeightFile
from das_ag.models.hub import HubFolder

V2_5_SHA256 = "a6caf256b3dc434273c98dcb12f6bf17c5d4fc647d8df11f038386923dd06220"
SIGLIP = "google/siglip-so400m-patch14-384"
SIGLIP_BYTES = 3511950624
CLIP_BYTES = {
    "RN50": 255827503, "RN101": 291791292, "RN50x4": 421854225, "RN50x16": 661125706, "RN50x64": 1353500174,
    "ViT-B/32": 353976522, "ViT-B/16": 350837078, "ViT-L/14": 932768134, "ViT-L/14@336px": 934088680,
}  # fmt: skip
"""Sizes of the files that OpenAI published."""

OPENAI_CLIPS = {
    "ViT-B/32": ("ViT-B-32", "openai/clip-vit-base-patch32"),
    "ViT-B/16": ("ViT-B-16", "openai/clip-vit-base-patch16"),
    "ViT-L/14": ("ViT-L-14", "openai/clip-vit-large-patch14"),
}
"""Names in open_clip and on the Hugging Face hub of the CLIPs for which there is a head, by OpenAI's name."""


@dataclass(frozen=True)
class Head:
    """A published aesthetic head.

    Attributes:
        clip: name of the CLIP whose features it rates.
        repository: where it is published.
    """

    clip: str
    repository: str
    sha256: str
    size_bytes: int
    licence: str


_LINEAR = "LAION-AI/aesthetic-predictor"
HEADS = {
    "sac+logos+ava1-l14-linearMSE.pth": Head(
        "ViT-L/14", "christophschuhmann/improved-aesthetic-predictor",
        "21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0", 3714759, "Apache-2.0",
    ),
    "sa_0_4_vit_b_32_linear.pth": Head(
        "ViT-B/32", _LINEAR,
        "c7b14cead230694acc7b9447974d3cad78003c72da032e402a303b6c2429e85f", 3047, "MIT",
    ),
    "sa_0_4_vit_b_16_linear.pth": Head(
        "ViT-B/16", _LINEAR,
        "8ad3923d7ecf019df20ecd2ab5542a3075fbba0278d239c0371345f3d7fcbde0", 3047, "MIT",
    ),
    "sa_0_4_vit_l_14_linear.pth": Head(
        "ViT-L/14", _LINEAR,
        "2cd4e60f4f24ae3bcd57b847b13c1f3ba27edc28cc1a7f9ce74ee9f421243cba", 4071, "MIT",
    ),
}  # fmt: skip
"""The published heads by file name. The first for a CLIP is its default. Each has its own scale."""


def clip_file(name: str, path: str | None, group: str = "models") -> WeightFile:
    """OpenAI's CLIP, by path or by name; by name, the file is in the cache of CLIP's own package.

    Args:
        group: where the configuration has name and path, for messages.

    Raises:
        UserError: OpenAI published no CLIP of that name.
    """
    url, variable = known_clips().get(name), _variable("CLIP_MODEL_PATH", name)
    if given := path or os.environ.get(variable):
        return WeightFile(
            f"CLIP ({given})", variable, Path(given).expanduser(), True, None, None, "MIT, if OpenAI's own"
        )
    if url is None:
        raise UserError(
            f"{group}.name: expected one of {', '.join(known_clips())}, got {name!r}; {_nearest(name)}choose one of "
            f"them, or point {group}.path to a checkpoint."
        )
    checksum, file = url.split("/")[-2:]
    in_cache, size_bytes = cache_folder("clip") / file, CLIP_BYTES.get(name)
    return WeightFile(f"CLIP {name}", variable, in_cache, False, url, checksum, "MIT", size_bytes)


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, known_clips(), n=1)
    return f"did you mean {near[0]!r}? Otherwise " if near else ""


def _variable(base: str, clip: str) -> str:
    """The environment variable of a path: `base` for ViT-L/14, and `base` with the name for any other CLIP."""
    return base if clip == "ViT-L/14" else f"{base}_{re.sub(r'[^A-Z0-9]', '_', clip.upper())}"


def head_name(clip: str) -> str | None:
    """Name of the published aesthetic head on the features of a CLIP; None if there is none."""
    return next((name for name, head in HEADS.items() if head.clip == clip), None)


def head_file(clip: str | None, path: str | None) -> WeightFile | None:
    """The aesthetic head on the features of a CLIP: a file, or the name of a published one; None if there is none.

    Args:
        clip: name of the CLIP; None if it is unknown.
        path: None for the published head for this CLIP.
    """
    variable = _variable("AESTHETIC_PREDICTOR_PATH", clip) if clip else "models.head"
    given = path or os.environ.get(variable)
    name = given if given in HEADS else head_name(clip) if clip else None
    if given and given not in HEADS:
        published = HEADS[name].sha256 if name else None
        return WeightFile(
            f"LAION aesthetic head ({given})", variable, Path(given).expanduser(), True, None, published,
            HEADS[name].licence if name else "see its origin",
        )  # fmt: skip
    if name is None:
        return None
    head = HEADS[name]
    return WeightFile(
        what=f"LAION aesthetic head for {head.clip}",
        variable=variable,
        path=cache_folder("das-ag") / name,
        given=False,
        url=f"https://github.com/{head.repository}/raw/main/{name}",
        sha256=head.sha256,
        licence=head.licence,
        size_bytes=head.size_bytes,
    )


def check_names(clip: str | None, digests: Mapping[str, str], group: str) -> None:
    """Checks that no published file is one for another CLIP, since 768 features are not only ViT-L/14's.

    Args:
        clip: OpenAI's name of the CLIP; None if nobody can tell.
        digests: SHA-256 of the files by role, `clip` or `head`.
        group: the group of the settings, for messages.

    Raises:
        UserError: a file is.
    """
    for role, option, published in (("clip", "path", clip_of_archive), ("head", "head", clip_of_head)):
        found = published(digests[role]) if role in digests else None
        if None not in (found, clip) and found != clip:
            raise UserError(
                f"{group}.{option}: expected a file for {clip}, got the published one for {found}; choose "
                "that CLIP, or another file."
            )


def clip_of_head(sha256: str) -> str | None:
    """Name of the CLIP whose features a published head rates; None for a file that is not published."""
    return next((head.clip for head in HEADS.values() if head.sha256 == sha256), None)


def v2_5_file(path: str | None) -> WeightFile:
    """The head of Aesthetic Predictor v2.5 for features of SigLIP."""
    name = "aesthetic_predictor_v2_5.pth"
    return WeightFile(
        what="Aesthetic Predictor v2.5 head",
        variable="AESTHETIC_PREDICTOR_V2_5_PATH",
        path=Path(path).expanduser() if path else cache_folder("das-ag") / name,
        given=bool(path),
        url=f"https://github.com/discus0434/aesthetic-predictor-v2-5/raw/main/models/{name}",
        sha256=V2_5_SHA256,
        licence="AGPL-3.0",
        size_bytes=2644834,
    )


def siglip_folder(name: str, path: str | None) -> HubFolder:
    """SigLIP, the image encoder of Aesthetic Predictor v2.5."""
    own, size_bytes = Path(path).expanduser() if path else None, SIGLIP_BYTES if name == SIGLIP else None
    return HubFolder("SigLIP", "SIGLIP_MODEL_PATH", "Apache-2.0", name, own, size_bytes)


def known_clips() -> dict[str, str]:
    """URL of each published CLIP, by name; the last folder in a URL is the file's SHA-256."""
    return dict(clip_package()._MODELS)


def clip_of_archive(sha256: str) -> str | None:
    """Name of the CLIP that OpenAI published with this checksum; None for any other file."""
    return next((name for name, url in known_clips().items() if url.split("/")[-2] == sha256), None)


def published_archives() -> frozenset[str]:
    """SHA-256 of each CLIP that OpenAI published, from its package's own list."""
    return frozenset(url.split("/")[-2] for url in known_clips().values())


def clip_package() -> Any:
    """The module `clip.clip`.

    Raises:
        UserError: the module is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "pkg_resources is deprecated")
            from clip import clip
    except ImportError as error:
        raise missing_extra("clip", error) from error
    return clip


def cache_folder(folder: str) -> Path:
    """The folder of downloads."""
    # clip-anytorch always uses ~/.cache and ignores XDG_CACHE_HOME; we share its files.
    root = Path.home() / ".cache" if folder == "clip" else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return root.expanduser() / folder
