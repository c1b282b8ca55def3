"""Files of weights: whether they are there, their download, checksum and size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from das_ag.errors import UserError
from das_ag.models.download import Report, download
from das_ag.models.hub import HubFolder
from das_ag.models.weights import sha256_of


@dataclass(frozen=True)
class WeightFile:
    """A file of weights.

    Attributes:
        what: name of the model, for messages.
        variable: environment variable for the file's path; None if the file can only be at `path`.
        path: expected path of the file.
        given: whether the user gave that path; then nothing is ever downloaded.
        url: address for the download; None if there is none.
        sha256: checksum of the published file, hexadecimal; None if there is none.
        licence: licence of the weights, as their own repository states it.
        size_bytes: size of the published file; None if unknown.
    """

    what: str
    variable: str | None
    path: Path
    given: bool
    url: str | None
    sha256: str | None
    licence: str
    size_bytes: int | None = None

    @property
    def remedy(self) -> str:
        """What to do if the file is missing or wrong."""
        fetch = "" if self.given or self.url is None else "run das-ag check --download, or "
        return f"{fetch}point {self.variable} to it" if self.variable else f"{fetch}put it at {self.path}"

    def is_there(self) -> bool:
        """Whether the file exists; does not check its content."""
        return self.path.is_file()

    def fetch(self, report: Report | None = None) -> None:
        """Downloads the file if it is missing; `report` as in `download`.

        Raises:
            UserError: the file is not available, or is not the published one.
        """
        if self.is_there():
            return
        if self.given or self.url is None:
            raise UserError(f"{self.what}: expected a file at {self.path}, found none; {self.remedy}.")
        remedy = f"point {self.variable} to a copy" if self.variable else f"put a copy at {self.path}"
        download(self.url, self.path, sha256=self.sha256, what=self.what, remedy=remedy, report=report)

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


Source = WeightFile | HubFolder


def fetch_all(files: Iterable[Source]) -> None:
    """Downloads all that is missing, after a check that each given path has its file.

    Raises:
        UserError: files are not available; its message names all of them.
    """
    missing = [file for file in files if not file.is_there()]
    for some in ([file for file in missing if file.given], [file for file in missing if not file.given]):
        complaints = []
        for file in some:
            try:
                file.fetch()
            except UserError as error:
                complaints.append(str(error))
        if complaints:
            raise UserError("\n".join(complaints))


def size_of(file: Source) -> str:
    """Size of a published file for people, for instance "933 MB"."""
    return size_in_words(file.size_bytes)


def total_bytes(files: Iterable[Source]) -> int | None:
    """Size of several published files; None if one is unknown."""
    sizes = [file.size_bytes for file in files]
    return None if None in sizes else sum(size or 0 for size in sizes)


def size_in_words(size_bytes: int | None) -> str:
    """A number of bytes for people, for instance "933 MB"."""
    if size_bytes is None:
        return "size unknown"
    if size_bytes >= 1e9:
        return f"{size_bytes / 1e9:.1f} GB"
    if size_bytes < 1e5:
        return f"{size_bytes / 1e3:.0f} kB"
    return f"{size_bytes / 1e6:.{0 if size_bytes >= 1e7 else 1}f} MB"
