"""Folders of models in the format of the Hugging Face hub."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from das_ag.errors import UserError, first_line, missing_extra
from das_ag.models.download import DownloadStopped, Report
from das_ag.models.weights import check_file, sha256_of

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Names of the file of weights in transformers' order of preference; `NAME.index.json` lists several files instead."""


@dataclass(frozen=True)
class HubFolder:
    """A model's folder in the format of the Hugging Face hub: weights and what else determines their use.

    Attributes:
        what, licence, size_bytes: as in `WeightFile`.
        variable: environment variable or setting for the path of an own copy.
        name: name on the hub.
        path: the folder, if the user gave it; None for the hub's cache.
        weights: names that the file of weights may have, in order of preference.
        required, optional: other files.
    """

    what: str
    variable: str
    licence: str
    name: str
    path: Path | None
    size_bytes: int | None
    weights: tuple[str, ...] = WEIGHTS
    required: tuple[str, ...] = ("config.json",)
    optional: tuple[str, ...] = ()

    @property
    def given(self) -> bool:
        """Whether the user gave the folder; then nothing is ever downloaded."""
        return self.path is not None

    @property
    def remedy(self) -> str:
        """What to do if the folder is missing or wrong."""
        fetch = "" if self.given else "run das-ag check --download, or "
        return f"{fetch}point {self.variable} to a folder with {' and '.join([*self.required, self.weights[0]])}"

    def is_there(self) -> bool:
        """Whether the weights exist; does not check their content."""
        return self.find() is not None

    def find(self) -> Path | None:
        """The given folder, or the one in the hub's cache; None if the weights are missing. Needs no network."""
        if self.path is not None:
            return self.path if weight_files(self.path, self.weights) else None
        return self._snapshot(self.weights[0], local_files_only=True)

    def fetch(self, report: Report | None = None) -> None:
        """Downloads the folder to the hub's cache if it is missing; resumes an interrupted download.

        Args:
            report: as in `download`.

        Raises:
            UserError: the folder is not available.
        """
        if self.is_there():
            return
        if self.path is not None:
            raise UserError(f"{self.what}: expected {self.weights[0]} in {self.path}, found none; {self.remedy}.")
        try:
            if not any(self._snapshot(name, local_files_only=False, report=report) for name in self.weights):
                raise FileNotFoundError(f"{self.weights[0]} is missing")  # offline, a folder may be incomplete
        except (UserError, DownloadStopped):
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
            raise UserError(f"{self.what}: expected {self.weights[0]} in {where}, found none; {self.remedy}.")
        return found

    def digest(self) -> str:
        """SHA-256 of the weights.

        Raises:
            UserError: the weights are missing.
        """
        return weights_digest(self.folder(), what=self.what, remedy=self.remedy, names=self.weights)

    def config_digest(self) -> str:
        """SHA-256 of the other files, which determine the use of the weights; for one file, of its content.

        Raises:
            UserError: the weights or a required file are missing.
        """
        folder = self.folder()
        digests = [check_file(folder / name, what=self.what, remedy=self.remedy) for name in self.required]
        digests += [sha256_of(folder / name) for name in self.optional if (folder / name).is_file()]
        return _combined(digests)

    def _snapshot(self, weights: str, *, local_files_only: bool, report: Report | None = None) -> Path | None:
        """The folder in the hub's cache, after the download of what it lacks; None if it is incomplete.

        Args:
            weights: name of the file of weights to download; the parts of a large one are `model-00001-of-00002…`.
        """
        try:
            from huggingface_hub import snapshot_download
            from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError
        except ImportError as error:
            raise missing_extra("huggingface_hub", error) from error
        parts = weights.replace(".", "-*.")
        patterns = [*self.required, *self.optional, weights, f"{weights}.index.json", parts]
        try:
            folder = Path(
                snapshot_download(
                    self.name, allow_patterns=patterns, local_files_only=local_files_only,
                    tqdm_class=_bar_for(report) if report else None,
                )
            )  # fmt: skip
        except LocalEntryNotFoundError:
            if local_files_only:
                return None
            raise
        except RepositoryNotFoundError as error:
            raise UserError(
                f"{self.what}: the Hugging Face hub has no public model {self.name}; correct the name, or point "
                f"{self.variable} to a copy."
            ) from error
        except HFValidationError as error:
            raise UserError(
                f"{self.what}: expected the name of a model on the Hugging Face hub, got {self.name!r}; correct it, or "
                f"point {self.variable} to a folder."
            ) from error
        needed = [*(folder / name for name in self.required), *weight_files(folder, self.weights)]
        return folder if len(needed) > len(self.required) and all(file.is_file() for file in needed) else None


def _bar_for(report: Report) -> type[tqdm[Any]]:
    """A class of bars for the hub's client that show nothing, and report the bytes of all files together."""

    class Bar(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            self._counts_bytes = options.get("unit") == "B"
            super().__init__(*args, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            if self._counts_bytes and n:
                report(int(self.n), int(self.total) if self.total else None)

    return Bar


def hub_cache() -> Path:
    """The folder of downloads from the hub.

    Raises:
        UserError: the hub's client is not installed.
    """
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError as error:
        raise missing_extra("huggingface_hub", error) from error
    return Path(HF_HUB_CACHE)


def weight_files(folder: Path, names: Iterable[str] = WEIGHTS) -> list[Path]:
    """The files of weights that transformers reads in a folder, in its order of preference; empty if there are none.

    Raises:
        UserError: an index of several files cannot be read.
    """
    for name in names:
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


def weights_digest(folder: Path, *, what: str, remedy: str, names: Sequence[str] = WEIGHTS) -> str:
    """SHA-256 of a folder's file of weights; for several files, of their checksums.

    Raises:
        UserError: a file is missing.
    """
    files = weight_files(folder, names) or [folder / names[0]]
    return _combined([check_file(file, what=what, remedy=remedy) for file in files])


def _combined(digests: Sequence[str]) -> str:
    return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()
