"""Presets of the tiny models, with which the demo begins here; as a program it is `streamlit` with these presets."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from das_ag.settings import environment

environment.prepare()  # as app.py does, before anything imports torch

from tiny_models import TinyGuideChoice  # noqa: E402

from das_ag.demo.presets import PRESETS, Preset  # noqa: E402
from das_ag.models.files import WeightFile  # noqa: E402

TINY = Preset("Tiny models", ("models=tiny", "evaluator=tiny"), ("shapes", "shape_pairs"), 0.0002)
SERVED = Preset(
    "Served models", ("models=tiny", "models.kind=tiny_preset.ServedChoice", "evaluator=tiny"), ("shapes",), 0.0002
)


@dataclass(frozen=True)
class ServedChoice(TinyGuideChoice):
    """The tiny models, with files that they do not need: of the server and the checksum that $SERVED says."""

    def files(self):
        url, sha256, size, folder = os.environ["SERVED"].split()
        return {
            name: WeightFile(f"Made-up {name}", None, Path(folder, name), False, url, sha256, "MIT", int(size))
            for name in ("weights", "head")
        }


def put_first() -> None:
    others = dict(PRESETS)
    PRESETS.clear()
    PRESETS.update({"tiny": TINY} | ({"served": SERVED} if "SERVED" in os.environ else {}) | others)


if __name__ == "__main__":
    from streamlit.web.cli import main

    put_first()
    main()
