"""A store and a folder of pictures to be scored, and the script that scores them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_models import TinyJudge, picture


@pytest.fixture
def store(tmp_path, sample_of, put):
    from das_ag.store.store import Store

    made = Store(tmp_path / "outputs")
    made.prepare()
    for seed in (1, 2, 3):
        put(made, sample_of(seed=seed), image=picture(seed))
    return made


@pytest.fixture
def judge():
    return TinyJudge()


@pytest.fixture
def pictures(tmp_path):
    """A folder from anywhere: three formats, a sub-folder, transparency, a turned photograph, what is no picture."""
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(picture(1)).save(folder / "b.png")
    Image.fromarray(picture(2)).save(folder / "a.JPG", quality=95)
    Image.fromarray(picture(3)).save(folder / "sub" / "c.webp", lossless=True)
    clear = np.dstack([picture(4), np.zeros((48, 56), np.uint8)])
    Image.fromarray(clear).save(folder / "clear.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90° to the right
    Image.fromarray(picture(5)).save(folder / "turned.png", exif=turned)
    (folder / "broken.jpeg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no picture either")
    return folder


@pytest.fixture(scope="session")
def run_script():
    def run(*arguments, **options):
        program = Path(__file__).parents[2] / "scripts" / "evaluate.py"
        return subprocess.run(
            [sys.executable, str(program), *map(str, arguments), "models=tiny", "evaluator=tiny"],
            capture_output=True,
            encoding="utf-8",
            check=False,
            **options,
        )

    return run
