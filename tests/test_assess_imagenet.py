"""scripts/assess_imagenet.py on folders and numbers that it cannot use."""

from __future__ import annotations

import importlib.util
import sys

import pytest
from PIL import Image
from reference import ROOT

from das_ag.store.store import Store


@pytest.fixture
def script(monkeypatch, capsys):
    """Runs the script in this process: exit status, stderr."""
    spec = importlib.util.spec_from_file_location("assess_script", ROOT / "scripts" / "assess_imagenet.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["assess_imagenet.py", *map(str, arguments)])
        try:
            status = module.main()
        except SystemExit as exit_:
            status = exit_.code
        return status, capsys.readouterr().err

    run.module = module
    return run


def test_a_folder_that_is_not_there_is_told(script, tmp_path):
    status, err = script(tmp_path / "nosuch")
    assert status == 1
    assert err.startswith(f"Error: {tmp_path / 'nosuch'}: found no such folder, expected ")


def test_scores_that_recognise_nothing_are_told(script, tmp_path, sample_of, put):
    put(Store(tmp_path), sample_of())
    (record,), _ = Store(tmp_path).records()
    Store(tmp_path).write_score(record, "imagenet", 5.0, "d" * 64)
    assert script(tmp_path) == (
        1, f"Error: {tmp_path}: expected samples that the judge recognises or not, got none; use other prompts.\n",
    )  # fmt: skip


@pytest.mark.parametrize("count", [-1, 0, 1001])
def test_a_number_of_classes_has_its_range(script, count):
    assert script("--random", count) == (1, f"Error: --random: expected from 1 to 1000, got {count}; change it.\n")


def test_without_an_argument_it_says_what_it_needs(script):
    status, err = script()
    assert status == 2
    assert "expected a folder, --photos or --random, got none" in err


@pytest.mark.parametrize("content", [b"no picture", None], ids=["damaged", "small"])
def test_a_photo_that_cannot_be_used_is_named(script, tmp_path, monkeypatch, content):
    monkeypatch.setattr(script.module, "class_names", lambda: [("tench",)])
    path = tmp_path / "tench.jpg"
    Image.new("RGB", (300, 100)).save(path)
    if content:
        path.write_bytes(content)
    status, err = script("--photos", tmp_path)
    assert status == 1
    said = "cannot read this photo (" if content else "expected at least 224 × 224 px, got 300 × 100."
    assert err.startswith(f"Error: {path}: {said}")
