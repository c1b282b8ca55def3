"""What is settled before torch is imported."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
from reference import ROOT

from das_ag.errors import UserError
from das_ag.settings import environment
from das_ag.settings.choices import choose_evaluators, choose_guide

VARIABLES = ("CLIP_MODEL_PATH", "AESTHETIC_PREDICTOR_PATH", "SIGLIP_MODEL_PATH", "AESTHETIC_PREDICTOR_V2_5_PATH")
SET = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
"""What is set where nobody has said otherwise."""


@pytest.fixture
def clean(monkeypatch, tmp_path):
    """No variable set, and a .env of the test's own."""
    for name in (*VARIABLES, *SET):
        monkeypatch.setenv(name, "x")  # so that monkeypatch takes away what `prepare` sets
        monkeypatch.delenv(name)
    monkeypatch.setattr(environment, "DOTENV", tmp_path / ".env")
    return tmp_path / ".env"


def test_dotenv_gives_what_the_environment_does_not(clean, monkeypatch):
    clean.write_text("CLIP_MODEL_PATH=/from/dotenv\nSIGLIP_MODEL_PATH='/with a space'\n")
    monkeypatch.setenv("CLIP_MODEL_PATH", "/from/environment")
    environment.prepare()
    assert os.environ["CLIP_MODEL_PATH"] == "/from/environment"
    assert os.environ["SIGLIP_MODEL_PATH"] == "/with a space"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_dotenv_may_have_another_encoding(clean, capsys, encoding):
    path = "/café" if encoding != "utf-16-le" else "/cafe"  # without a mark, only ASCII is certain
    clean.write_bytes(f"# paths\r\nCLIP_MODEL_PATH={path}\r\n".encode(encoding))
    environment.prepare()
    assert os.environ["CLIP_MODEL_PATH"] == path
    assert capsys.readouterr().err == ""


def test_dotenv_that_is_not_utf_8_is_read_as_latin_1_and_told_once(clean, capsys):
    clean.write_bytes("CLIP_MODEL_PATH=/café\nSIGLIP_MODEL_PATH=/a\0b\n".encode("latin-1"))
    environment.prepare()
    environment.prepare()
    assert (os.environ["CLIP_MODEL_PATH"], os.environ["SIGLIP_MODEL_PATH"]) == ("/café", "/ab")
    sentence = f"Warning: {clean}: expected UTF-8, so this file is read as Latin-1; save it as UTF-8.\n"
    assert capsys.readouterr().err == sentence


def test_dotenv_that_cannot_be_read_ends_nothing(clean, capsys, monkeypatch):
    clean.write_text("CLIP_MODEL_PATH=/a\n")
    denied = PermissionError(13, "Permission denied")
    monkeypatch.setattr(Path, "read_bytes", Mock(side_effect=denied))
    environment.prepare()
    assert "CLIP_MODEL_PATH" not in os.environ
    assert capsys.readouterr().err.startswith(f"Warning: {clean}: cannot read this file (“Permission denied”)")


def test_without_dotenv_nothing_is_set_but_what_must_be_early(clean):
    before = dict(os.environ)
    environment.prepare()
    assert dict(os.environ) == before | SET


def test_a_console_that_lacks_letters_ends_nothing(clean, monkeypatch):
    console = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", console)
    environment.prepare()
    print("mean ↑ 5 × 3", flush=True)
    assert console.buffer.getvalue().decode("latin-1") == "mean ? 5 × 3\n"


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_trap(tmp_path, closed):
    """No file gets the number of a closed stream, and printing to it does nothing."""
    program = (
        "import os, sys; from das_ag.settings import environment; environment.prepare()\n"
        "print('lost'); print('lost', file=sys.stderr); assert not sys.stderr.isatty()\n"
        "file = open('mine', 'w'); assert file.fileno() > 2; file.write('kept')\n"
    )
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "mine").read_text() == "kept"


@pytest.mark.parametrize("name", SET)
def test_what_a_person_has_set_stays(clean, monkeypatch, name):
    clean.write_text(f"{name}=from dotenv\n")
    environment.prepare()
    assert os.environ[name] == "from dotenv"
    monkeypatch.setenv(name, "from the environment")
    environment.prepare()
    assert os.environ[name] == "from the environment"


@pytest.mark.parametrize("value", [":4096:8", ":16:8"])
def test_values_under_which_cublas_is_deterministic(clean, plan_of, monkeypatch, value):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", value)
    environment.check_determinism()
    assert plan_of().settings.deterministic


@pytest.mark.parametrize(
    ("value", "got", "remedy"),
    [
        (":0:0", "':0:0'", "unset it"),
        ("", "'nothing'", "unset it"),
        (None, "'nothing'", "set it before the process uses a GPU"),
    ],
)
def test_another_value_is_refused_unless_the_run_is_to_be_fast(clean, plan_of, monkeypatch, value, got, remedy):
    if value is not None:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", value)
    sentence = (
        f"CUBLAS_WORKSPACE_CONFIG: expected :4096:8 or :16:8 for deterministic results, got {got}; {remedy}, or choose "
        "runtime=fast."
    )
    for check in (environment.check_determinism, plan_of):
        with pytest.raises(UserError) as told:
            check()
        assert str(told.value) == sentence
    assert not plan_of("runtime=fast").settings.deterministic


def test_the_example_names_every_variable_that_the_configuration_reads(clean, compose_paper, monkeypatch):
    names = re.findall(r"^(\w+)=$", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(names) == set(VARIABLES)
    clean.write_text("".join(f"{name}=/somewhere/{name}\n" for name in names))
    environment.prepare()
    config = compose_paper()
    files = choose_guide(config.models).files()
    assert files["clip"].path == Path("/somewhere/CLIP_MODEL_PATH")
    assert files["head"].path == Path("/somewhere/AESTHETIC_PREDICTOR_PATH")
    assert config.evaluator.aesthetic_v2_5.siglip_path == "/somewhere/SIGLIP_MODEL_PATH"
    assert config.evaluator.aesthetic_v2_5.head_path == "/somewhere/AESTHETIC_PREDICTOR_V2_5_PATH"


def test_the_place_of_dotenv_is_the_projects_root():
    assert environment.DOTENV == ROOT / ".env"


def test_a_variable_that_is_empty_is_as_good_as_none(clean, compose_paper):
    clean.write_text("".join(f"{name}=\n" for name in VARIABLES))
    environment.prepare()
    config = compose_paper()
    assert not any(file.given for file in choose_guide(config.models).files().values())
    assert not any(file.given for file in choose_evaluators(config.evaluator)["aesthetic_v2_5"].files().values())
