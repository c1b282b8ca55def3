"""Finds picture files in folders of any origin."""

from __future__ import annotations

import logging
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from das_ag.errors import UserError, counted, printable
from das_ag.evaluation.decode import suffixes
from das_ag.store.store import Store

log = logging.getLogger(__name__)

_OF_SYSTEMS = frozenset(
    ["@eadir", "__macosx", "$recycle.bin", "#recycle", "system volume information", "lost+found"]
)  # fmt: skip
"""Folders that systems, archives and network drives add, in lower case. Others have hidden names."""
UNREAD = frozenset([
    ".heic", ".heif", ".heics", ".hif", ".jxl", ".jxr", ".svg", ".svgz", ".eps", ".ps", ".pdf", ".ai", ".xcf", ".kra",
    ".exr", ".hdr", ".wmf", ".emf", ".fit", ".fits", ".palm", ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw",
    ".orf", ".rw2", ".raf", ".pef", ".srw", ".x3f", ".3fr", ".raw",
])  # fmt: skip
"""Endings of pictures that the program does not read."""
_EXAMPLES = 3


@dataclass
class _Search:
    """What one search meets.

    Attributes:
        found: picture files.
        system: hidden files and folders, and those of systems.
        experiments: stores, which have plots and thumbnails beside their images.
        links: links to folders.
        unread: pictures of other formats.
        others: number of files that are no pictures, by ending.
        errors: folders that cannot be read.
    """

    found: list[Path] = field(default_factory=list)
    system: list[Path] = field(default_factory=list)
    experiments: list[Path] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)
    unread: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    errors: list[OSError] = field(default_factory=list)

    def skipped(self) -> Iterator[str]:
        """A sentence for each kind of what is skipped with good reason."""
        if self.system:
            yield f"Skipped {_count(self.system, 'hidden or system entry', 'hidden or system entries')}."
        if self.experiments:
            listed = _count(self.experiments, "experiment", "experiments")
            yield f"Skipped {listed}; use a separate command for experiments."
        if self.links:
            listed = _count(self.links, "link to a folder", "links to folders")
            yield f"Did not follow {listed}; give the folder as an argument."
        if self.others:
            kinds = ", ".join(f"{number} {suffix}" for suffix, number in self.others.most_common(_EXAMPLES))
            more = ", …" if len(self.others) > _EXAMPLES else ""
            yield f"Ignored {counted(self.others.total(), 'other file')} by the ending of the name ({kinds}{more})."

    def complaints(self) -> Iterator[str]:
        """A sentence for each thing that should be scored and cannot be."""
        if self.unread:
            listed = _count(self.unread, "picture", "pictures")
            yield f"Cannot read the format of {listed}; save a copy as PNG or JPEG."
        for error in self.errors:
            yield f"{printable(error.filename)}: cannot read this folder ({error.strerror}); fix its permissions."


def find_pictures(places: Sequence[Path]) -> tuple[list[tuple[str, Path]], list[str]]:
    """Finds the pictures of files and folders, with subfolders; logs what it skips.

    It skips experiments, hidden files and folders, and those that systems add. It does not follow links to folders.

    Returns:
        The name and path of each picture, each file once. Names are relative to the folder if it is the only place.
        And a message for folders that cannot be read and for pictures in formats that cannot be read.

    Raises:
        UserError: a place does not exist, is the root of the file system, or there are no pictures.
    """
    search = _Search()
    for place in places:
        search.found += sorted(_pictures_of(place, search))
    for sentence in search.skipped():
        log.info("%s", sentence)
    if not search.found:
        names = ", ".join(printable(place) for place in places)
        raise UserError(
            f"{names}: expected pictures (PNG, JPEG, WebP, AVIF, GIF, TIFF, BMP, …), found none; give another folder."
        )
    is_folder = len(places) == 1 and places[0].is_dir()
    found = dict.fromkeys(search.found)
    named = [(printable((path.relative_to(places[0]) if is_folder else path).as_posix()), path) for path in found]
    return named, list(search.complaints())


def _check_place(place: Path) -> None:
    try:
        place.stat()
    except OSError as error:
        raise UserError(
            f"{printable(place)}: expected a picture or a folder of pictures, found no such place "
            f"({error.strerror}); give another folder."
        ) from error
    resolved = place.resolve()
    if resolved == resolved.parent:
        raise UserError(f"{place}: expected a folder of pictures, got the whole file system; give a folder in it.")


def _pictures_of(place: Path, search: _Search) -> Iterator[Path]:
    _check_place(place)
    if not place.is_dir():
        yield place  # whatever its name is: the user asks for it
        return
    readable = suffixes()
    for name, subfolders, files in tqdm(
        os.walk(place, onerror=search.errors.append), desc="Search", unit=" folders", disable=None
    ):
        folder = Path(name)
        subfolders[:] = [sub for sub in subfolders if _is_entered(folder / sub, search)]
        for path in map(folder.joinpath, files):
            suffix = path.suffix.lower()
            if _is_of_system(path.name):
                search.system.append(path)
            elif suffix in readable:
                if not _is_special(path):
                    yield path
            elif suffix in UNREAD:
                search.unread.append(path)
            else:
                search.others[suffix or "no ending"] += 1


def _is_entered(folder: Path, search: _Search) -> bool:
    if _is_of_system(folder.name):
        search.system.append(folder)
    elif folder.is_symlink():
        search.links.append(folder)
    elif Store.is_store(folder):
        search.experiments.append(folder)
    else:
        return True
    return False


def _is_of_system(name: str) -> bool:
    return name.startswith(".") or name.lower() in _OF_SYSTEMS


def _is_special(path: Path) -> bool:
    """Whether it is no file but, for instance, a pipe, from which a program would wait for data for ever."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False  # the attempt to read it tells the reason


def _count(paths: Sequence[Path], one: str, several: str) -> str:
    """The number of paths with some of their names."""
    names = list(dict.fromkeys(sorted(printable(path.name) for path in paths)))
    examples = ", ".join(names[:_EXAMPLES]) + (", …" if len(names) > _EXAMPLES else "")
    return f"{counted(len(paths), one, several)} ({examples})"
