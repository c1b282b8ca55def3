"""The sources of the real models' weights: addresses, paths, checksums, licences."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from das_ag.errors import UserError, first_line
from das_ag.models.download import download
from das_ag.models.weights import check_file, sha256_of

LAION_SHA256 = "21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0"
V2_5_SHA256 = "a6caf256b3dc434273c98dcb12f6bf17c5d4fc647d8df11f038386923dd06220"
SIGLIP = "google/siglip-so400m-patch14-384"
SIGLIP_FILES = ("config.json", "model.safetensors")


@dataclass(frozen=True)
class WeightFile:
    """A file of weights.

    Attributes:
        what: name of the model, for messages.
        variable: environment variable for the file's path.
        path: expected path of the file.
        given: whether the user gave that path; then nothing is ever downloaded.
        url: address for the download; None if there is none.
        sha256: checksum of the published file, hexadecimal; None if there is none.
        licence: licence of the weights, as their own repository states it.
    """

    what: str
    variable: str
    path: Path
    given: bool
    url: str | None
    sha256: str | None
    licence: str

    @property
    def remedy(self) -> str:
        """What to do if the file is missing or wrong."""
        fetch = "" if self.given or self.url is None else "run python scripts/check_models.py --download, or "
        return f"{fetch}point {self.variable} to it"

    def is_there(self) -> bool:
        """Whether the file exists; does not check its content."""
        return self.path.is_file()

    def fetch(self) -> None:
        """Downloads the file if it is missing.

        Raises:
            UserError: the file is not available, or is not the published one.
        """
        if self.is_there():
            return
        if self.given or self.url is None:
            raise UserError(f"{self.what}: expected a file at {self.path}, found none; {self.remedy}.")
        download(self.url, self.path, sha256=self.sha256, what=self.what, remedy=f"point {self.variable} to a copy")

    def digest(self) -> str:
        """SHA-256 of the file; a file at the default path must be the published one.

        Raises:
            UserError: the file is missing, truncated or altered.
        """
        if not self.is_there():
            raise UserError(f"{self.what}: expected a file at {self.path}, found none; {self.remedy}.")
        got = sha256_of(self.path)
        if not self.given and self.sha256 is not None and got != self.sha256:
            raise UserError(
                f"{self.what}: expected SHA-256 {self.sha256[:16]}… of {self.path} ({self.path.stat().st_size} bytes), "
                f"got {got[:16]}…: the file is truncated or altered; delete it and start again."
            )
        return got


@dataclass(frozen=True)
class HubFolder:
    """A model's folder in the format of the Hugging Face hub: the configuration and the weights.

    Attributes:
        what, variable, licence: as in `WeightFile`.
        name: name on the hub.
        path: the folder, if the user gave it; None for the hub's cache.
    """

    what: str
    variable: str
    licence: str
    name: str
    path: Path | None

    @property
    def given(self) -> bool:
        """Whether the user gave the folder; then nothing is ever downloaded."""
        return self.path is not None

    @property
    def remedy(self) -> str:
        """What to do if the folder is missing or wrong."""
        fetch = "" if self.given else "run python scripts/check_models.py --download, or "
        return f"{fetch}point {self.variable} to a folder with {' and '.join(SIGLIP_FILES)}"

    def find(self) -> Path | None:
        """The given folder, or the one in the hub's cache; None if the weights are missing. Needs no network."""
        if self.path is not None:
            return self.path if weight_files(self.path) else None
        return self._snapshot(local_files_only=True)

    def fetch(self) -> None:
        """Downloads the folder to the hub's cache if it is missing; resumes an interrupted download.

        Raises:
            UserError: the folder is not available.
        """
        if self.find() is not None:
            return
        if self.path is not None:
            raise UserError(f"{self.what}: expected model.safetensors in {self.path}, found none; {self.remedy}.")
        try:
            if self._snapshot(local_files_only=False) is None:  # offline, it may return an incomplete folder
                raise FileNotFoundError("model.safetensors is missing")
        except UserError:
            raise
        except Exception as error:  # the hub's client, its HTTP library and the OS have different errors
            raise UserError(
                f"{self.what}: cannot download {self.name} from the Hugging Face hub (“{first_line(error)}”); "
                f"connect to the network, or point {self.variable} to a copy."
            ) from error

    def folder(self) -> Path:
        """The folder with the weights.

        Raises:
            UserError: the weights are missing.
        """
        found = self.find()
        if found is None:
            where = self.path or f"the Hugging Face hub's cache ({self.name})"
            raise UserError(f"{self.what}: expected model.safetensors in {where}, found none; {self.remedy}.")
        return found

    def digest(self) -> str:
        """SHA-256 of the weights.

        Raises:
            UserError: the weights are missing.
        """
        return weights_digest(self.folder(), what=self.what, remedy=self.remedy)

    def config_digest(self) -> str:
        """SHA-256 of the configuration, which determines the use of the weights.

        Raises:
            UserError: the weights or the configuration are missing.
        """
        return check_file(self.folder() / "config.json", what=self.what, remedy=self.remedy)

    def _snapshot(self, *, local_files_only: bool) -> Path | None:
        try:
            from huggingface_hub import snapshot_download
            from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
        except ImportError as error:
            raise missing_extra("huggingface_hub", error) from error
        try:
            folder = Path(
                snapshot_download(self.name, allow_patterns=list(SIGLIP_FILES), local_files_only=local_files_only)
            )
        except LocalEntryNotFoundError:
            if local_files_only:
                return None
            raise
        except HFValidationError as error:
            raise UserError(
                f"{self.what}: expected the name of a model on the Hugging Face hub, got {self.name!r}; correct it, or "
                f"point {self.variable} to a folder."
            ) from error
        return folder if weight_files(folder) else None


def weight_files(folder: Path) -> list[Path]:
    """The files of weights that transformers reads in a folder, in its order of preference; empty if there are none.

    Raises:
        UserError: an index of several files cannot be read.
    """
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            try:
                parts = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
                return [index, *(folder / part for part in sorted(set(parts)))]
            except (ValueError, KeyError, AttributeError, TypeError) as error:
                raise UserError(f"{index}: expected an index of files, got other data; download it again.") from error
    return []


def weights_digest(folder: Path, *, what: str, remedy: str) -> str:
    """SHA-256 of a folder's file of weights; for several files, of their checksums.

    Raises:
        UserError: a file is missing.
    """
    files = weight_files(folder) or [folder / "model.safetensors"]
    digests = [check_file(file, what=what, remedy=remedy) for file in files]
    return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()


def clip_file(name: str, path: str | None) -> WeightFile:
    """OpenAI's CLIP, by path or by name; by name, the file is in the cache of CLIP's own package.

    Raises:
        UserError: OpenAI published no CLIP of that name.
    """
    url = known_clips().get(name)
    if path:
        return WeightFile(
            f"CLIP ({path})", "CLIP_MODEL_PATH", Path(path).expanduser(), True, None, None, "MIT, if OpenAI's own"
        )
    if url is None:
        raise UserError(
            f"models.name: expected one of {', '.join(known_clips())}, got {name!r}; choose one of them, or point "
            "CLIP_MODEL_PATH to a checkpoint."
        )
    checksum, file = url.split("/")[-2:]
    return WeightFile(f"CLIP {name}", "CLIP_MODEL_PATH", cache_folder("clip") / file, False, url, checksum, "MIT")


def laion_file(path: str | None) -> WeightFile:
    """The LAION aesthetic head for features of CLIP ViT-L/14."""
    name = "sac+logos+ava1-l14-linearMSE.pth"
    return WeightFile(
        what="LAION aesthetic head",
        variable="AESTHETIC_PREDICTOR_PATH",
        path=Path(path).expanduser() if path else cache_folder("das-ag") / name,
        given=bool(path),
        url=f"https://github.com/christophschuhmann/improved-aesthetic-predictor/raw/main/{name}",
        sha256=LAION_SHA256,
        licence="Apache-2.0",
    )


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
    )


def siglip_folder(name: str, path: str | None) -> HubFolder:
    """SigLIP, the image encoder of Aesthetic Predictor v2.5."""
    return HubFolder("SigLIP", "SIGLIP_MODEL_PATH", "Apache-2.0", name, Path(path).expanduser() if path else None)


def known_clips() -> dict[str, str]:
    """URL of each published CLIP, by name; the last folder in a URL is the file's SHA-256."""
    return dict(clip_package()._MODELS)


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


def missing_extra(package: str, error: ImportError) -> UserError:
    """The error for a missing package that only the real models need."""
    return UserError(
        f"models: cannot import the package {package} (“{error}”); install it with uv sync --extra paper, "
        "or start with uv run --extra paper."
    )


def cache_folder(folder: str) -> Path:
    """The folder of downloads."""
    # clip-anytorch always uses ~/.cache and ignores XDG_CACHE_HOME; we share its files.
    root = Path.home() / ".cache" if folder == "clip" else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return root.expanduser() / folder
