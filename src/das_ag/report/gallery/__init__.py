"""The images of one or several stores as one page that opens from disk, without a server or network."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from das_ag.errors import UserError, unwritable
from das_ag.report.gallery.content import page_content
from das_ag.store.atomic import own_file
from das_ag.store.store import Store

__all__ = ["write_gallery"]

PROGRAM = ("pictures.js", "choices.js", "viewer.js", "curves.js", "page.js")
"""Files of the page's program, in the order in which they are joined to one function. They share its names."""


def write_gallery(
    root: Path | str,
    scores: pd.DataFrame,
    evaluator_title: str,
    table: str,
    *,
    stores: Mapping[str, Path | str] | None = None,
) -> list[str]:
    """Writes index.html and its thumbnails, gallery/, into a folder: the store's own, or one for several stores.

    Leaves out a sample whose image cannot be shown, and names it on the page.

    Args:
        scores: as `score_table` gives it; the page shows further number columns and can sort by them. Of several
            stores, with a column `experiment`, whose values become columns or sections of the page.
        evaluator_title: name of the evaluator on the page.
        table: the results as Markdown.
        stores: the folder of each experiment by its value in `experiment`; the page links their images by relative
            paths. None if `root` is the only store.

    Returns:
        A sentence for each sample that is left out or incomplete.

    Raises:
        UserError: there is no image to show, or the folder cannot be written to.
    """
    root = Path(root)
    sources = {name: Store(Path(folder)) for name, folder in stores.items()} if stores else {"": Store(root)}
    try:
        content, told = page_content(root, sources, scores, evaluator_title, table)
        if not content["samples"]:
            raise UserError(f"{root}: expected images, got none; run das-ag run name={root.name} first.")
        root.mkdir(parents=True, exist_ok=True)
        path = root / "index.html"
        # The page appears whole or not at all, like everything in a store.
        unfinished = own_file(root, path.with_name(f".unfinished-{os.getpid()}-{path.name}"))
        unfinished.write_text(_page(content), encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise unwritable(root, "gallery", error) from error
    return told


def _page(content: dict[str, Any]) -> str:
    """The page with style, program and data; one pass fills all, so no placeholder is replaced inside another part."""
    parts = {
        "title": html.escape(content["title"]),
        "style": _text("page.css"),
        "program": "\n".join(map(_text, PROGRAM)),
        "content": _inline_json(content),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _text("page.html"))


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _inline_json(content: dict[str, Any]) -> str:
    """JSON for a script element; no text in it can close the element."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
