"""note/quickstart.ipynb runs, and its outputs are fit to be committed."""

from __future__ import annotations

import ast
import base64
import json
import re
from pathlib import Path

import pytest
from reference import ROOT

CELLS = json.loads((ROOT / "note" / "quickstart.ipynb").read_text(encoding="utf-8"))["cells"]
PROGRAMS = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]
FAST = """settings = {
    "steps": 2, "canvas_px": 48, "views": {"count": 1, "max_shift_px": 4}, "runtime": {"threads": 1}, "progress": False,
}
"""


def shown(program, names):
    """Runs a cell; returns the value of its last line, which a notebook shows."""
    body = ast.parse(program).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "quickstart", "exec"), names)
    return eval(compile(ast.Expression(last.value), "quickstart", "eval"), names) if last else None


@pytest.mark.slow
def test_every_cell_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names: dict[str, object] = {}
    values = [shown(re.sub("^settings = .*", FAST, program, flags=re.MULTILINE), names) for program in PROGRAMS]
    assert values[1]._repr_png_() == (tmp_path / "outputs" / "volcano.png").read_bytes()
    assert [type(value).__name__ for value in values[4:6]] == ["Image", "Image"]
    assert len([*Path("outputs/own/samples").glob("*/*/image.png")]) == 6
    names["scored"].store.root.relative_to("outputs")


def test_the_outputs_are_small_and_of_no_machine():
    outputs = [output for cell in CELLS for output in cell.get("outputs", [])]
    pictures = [
        base64.b64decode("".join(data))
        for output in outputs
        for kind, data in output.get("data", {}).items()
        if kind.startswith("image/")
    ]
    assert len(pictures) == 5
    assert sum(map(len, pictures)) < 300_000
    assert not re.search(r"/(home|root|tmp|Users)/|ipykernel|stderr|iopub", json.dumps(CELLS))
