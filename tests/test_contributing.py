"""The examples of CONTRIBUTING.md, as they stand there."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys

import pytest
from reference import ROOT

from das_ag.generation.generate import generate
from das_ag.report.plots import trajectories_figure
from das_ag.report.traces import trace_table
from das_ag.store.command import overrides_of
from das_ag.store.store import Store
from das_ag.synthesis import terms

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
"""Content of each example by the file that it belongs to."""
TERMS_FILE = "src/das_ag/synthesis/terms.py"


def test_there_is_an_example_for_each_thing_that_can_be_added():
    assert [*FILES] == [
        "random_guide.py", "conf/models/random.yaml", "brightness.py", "conf/evaluator/brightness.yaml", TERMS_FILE,
        "conf/method/das_ag_half.yaml",
    ]  # fmt: skip


def test_a_guide_an_evaluator_and_a_method_from_outside(tmp_path, start_program):
    """With these files and no edit, from another folder."""
    for name, content in FILES.items():
        if name != TERMS_FILE:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content, encoding="utf-8")
    chosen = ("models=random", "evaluator=brightness", "prompts=own", "prompts.positive={one: a text}")
    command = ("-m", "--config-dir", str(tmp_path / "conf"), "method=das,das_ag,das_ag_half", *chosen, "name=mine")
    python_path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
    program = start_program(tmp_path, *command, "runtime.threads=1", PYTHONPATH=python_path)
    out, err = program.communicate(timeout=300)
    assert program.returncode == 0, out + err

    records, told = Store(tmp_path / "outputs" / "mine").records()
    assert told == []
    by_method = {record.sample.method: record for record in records}
    assert sorted(by_method) == ["das", "das_ag", "das_ag_half"]
    for record in records:
        image = Store(tmp_path / "outputs" / "mine").read_image(record.image)
        assert record.scores["brightness"]["score"] == pytest.approx(image.mean() / 25.5, abs=1e-5)
    half, whole = (
        by_method[name].sample.settings["objective"]["aesthetic"]["end"] for name in ("das_ag_half", "das_ag")
    )
    assert (half, whole) == (4.0, 1.0)
    scores = [by_method[name].result["guide_aesthetic_score"] for name in ("das", "das_ag", "das_ag_half")]
    assert scores == sorted(scores)  # the weight of 4 is the largest
    table = (tmp_path / "outputs" / "mine" / "table.md").read_text(encoding="utf-8")
    assert "Brightness" in table
    assert "das_ag_half" in table


def test_a_term(plan_of, tiny, tmp_path):
    before = plan_of(*tiny).samples[0].key
    try:
        exec(compile(FILES[TERMS_FILE], TERMS_FILE, "exec"), vars(terms))
        assert plan_of(*tiny).samples[0].key == before
        stores = {}
        for weight in (0.0, 20.0):
            stores[weight] = Store(tmp_path / str(weight))
            plan = plan_of(*tiny, "prompts=shapes", f"+objective.saturation={weight}", "steps=12")
            assert generate(plan, stores[weight]).failed == {}
        assert plan_of(*overrides_of(plan.samples[0])).samples[0].key == plan.samples[0].key
    finally:
        terms.IMAGE_TERMS.pop("saturation", None)
        vars(terms).pop("saturation", None)
    records, _ = stores[20.0].records()
    table, _ = trace_table(stores[20.0], records)
    first, last = (table[table["step"] == step]["saturation"].mean() for step in (0, 11))
    assert last < 0.8 * first  # it has been minimised
    labels = [axes.get_ylabel() for axes in trajectories_figure(table).axes]
    assert labels[-1] == "saturation (↓ less)"
    with (stores[20.0].root / records[0].folder / "trace.csv").open(newline="") as file:
        assert "saturation" in next(csv.reader(file))
    assert (
        json.loads((stores[20.0].root / records[0].folder / "sample.json").read_text())["settings"]["objective"][
            "saturation"
        ]
        == 20.0
    )


IN_THE_DEMO = """
from das_ag.synthesis import terms
exec(compile(open("saturation.py").read(), "saturation.py", "exec"), vars(terms))
from das_ag.demo.form import Form, form_of, settings_of
from das_ag.demo.presets import PRESETS
assert settings_of(PRESETS["imagenet"])["objective.saturation"] == 0.0
form = Form("imagenet", ("das",), ("a volcano",), (), 1, {"objective.saturation": 2.0})
(plan,) = form.plans()
assert plan.samples[0].settings["objective"]["saturation"] == 2.0
assert form_of(plan.samples[0]) == form
print(form.command())
"""


def test_the_demo_has_a_weight_for_the_term(tmp_path):
    (tmp_path / "saturation.py").write_text(FILES[TERMS_FILE], encoding="utf-8")
    command = [sys.executable, "-c", IN_THE_DEMO]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "+objective.saturation=2.0" in done.stdout
