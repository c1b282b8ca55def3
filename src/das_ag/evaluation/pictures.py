"""Scores pictures that no store holds, and writes their scores as CSV."""

from __future__ import annotations

import contextlib
import csv
import errno
import logging
import math
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

from das_ag.errors import UserError, first_line, printable
from das_ag.evaluation.decode import MAX_MEGAPIXELS, read_picture
from das_ag.models.registry import EvaluatorChoice

log = logging.getLogger(__name__)

Row = list[object]
"""A picture's name and its scores."""


def check_without_texts(evaluators: Mapping[str, EvaluatorChoice]) -> None:
    """Checks that the evaluators need no texts, which pictures from elsewhere do not have.

    Raises:
        UserError: one does.
    """
    for name, choice in evaluators.items():
        if choice.needs_texts:
            raise UserError(
                f"evaluator={name}: it compares an image with its prompt, and a picture file has none; score "
                "the folder of an experiment, or choose another evaluator."
            )


def score_pictures(
    pictures: Sequence[tuple[str, Path]],
    evaluators: Mapping[str, EvaluatorChoice],
    device: torch.device,
    *,
    keep: Callable[[Row], object] | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
    use_profile: bool = True,
) -> tuple[pd.DataFrame, list[str]]:
    """Scores pictures.

    Args:
        pictures: name and path of each.
        evaluators: none of them needs texts.
        keep: gets each row as soon as it is there.
        max_megapixels, use_profile: as in `read_picture`.

    Returns:
        A table with a row for each picture: `image` (its name) and a column for each evaluator, NaN if that gives no
        score; and a message for each picture that cannot be scored.
    """
    judges: list[Any] = [choice.load(device) for choice in evaluators.values()]
    rows: list[Row] = []
    complaints: list[str] = []
    for name, path in tqdm(pictures, desc="Scores", unit="image", disable=None):
        try:
            image = read_picture(path, max_megapixels=max_megapixels, use_profile=use_profile)
            row: Row = [name, *(float(judge.rate_images([image])[0]) for judge in judges)]
        except UserError as error:
            complaints.append(str(error))
            continue
        except (ArithmeticError, LookupError, MemoryError, RuntimeError, ValueError) as error:  # torch: RuntimeError
            complaints.append(f"{printable(path)}: cannot score this picture ({first_line(error)}); make it smaller.")
            continue
        if keep:
            keep(row)
        rows.append(row)
    return pd.DataFrame(rows, columns=["image", *evaluators]), complaints


class ScoreFile:
    """A CSV of scores, as a context: rows go to an own file with the ending .part, which gets its name at the end.

    So an existing CSV stays whole until the new one is, also if another process writes the same CSV. If the work ends
    early, the .part file keeps its rows.

    Args:
        path: the CSV. A link stays a link; a pipe or device gets the rows itself.
        columns: names in the first line.

    Raises:
        UserError: the file cannot be written; entering the context tells it, before the first row.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path, self._columns, self._rows = path, columns, 0

    def __enter__(self) -> Callable[[Row], None]:
        with _writing(self._path):
            if self._path.is_dir():
                raise UserError(f"--csv: expected a file, found the folder {printable(self._path)}; add a file name.")
            target = self._path.resolve()
            if target.exists() and not os.access(target, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            is_device = Path("/dev") in self._path.absolute().parents  # /dev/stdout may lead to a file
            self._target = target if not is_device and (target.is_file() or not target.exists()) else None
            own = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.part")
            self._part = own if self._target else self._path
            self._file = self._part.open("w", encoding="utf-8", newline="")
        try:
            self._write(["image", *self._columns])
        except UserError:
            self._close()
            raise
        return self._keep

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._close()
        if self._target is None:
            return
        if error is None:
            with _writing(self._path):
                self._part.replace(self._target)
        elif self._rows:
            log.warning("%s: holds the scores that are finished: %d.", printable(self._part), self._rows)
        else:
            self._part.unlink(missing_ok=True)

    def _keep(self, row: Row) -> None:
        self._write(["" if isinstance(value, float) and math.isnan(value) else value for value in row])
        self._rows += 1

    def _write(self, values: Sequence[object]) -> None:
        with _writing(self._path):
            csv.writer(self._file, lineterminator=os.linesep).writerow(values)
            self._file.flush()

    def _close(self) -> None:
        with contextlib.suppress(OSError):  # all rows are flushed; the error of a row that is not is raised already
            self._file.close()


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{printable(path)}: cannot write the scores ({error.strerror}); give another file with --csv."
        ) from error
