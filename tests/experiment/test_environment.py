"""What is settled before torch is imported."""

from __future__ import annotations

import re

import pytest
from reference import ROOT

from das_ag.errors import UserError
from das_ag.experiment import environment

VARIABLES = ("CLIP_MODEL_PATH", "AESTHETIC_PREDICTOR_PATH", "SIGLIP_MODEL_PATH", "AESTHETIC_PREDICTOR_V2_5_PATH")


@pytest.fixture
def clean(monkeypatch, tmp_path):
    """No variable set, and a .env of the test's own."""
    for name in (*VARIABLES, "CUBLAS_WORKSPACE_CONFIG"):
        monkeypatch.setenv(name, "x")  # so that monkeypatch takes away what `prepare` sets
        monkeypatch.delenv(name)
    monkeypatch.setattr(environment, "DOTENV", tmp_path / ".env")
    return tmp_path / ".env"


def test_dotenv_gives_what_the_environment_does_not(clean, monkeypatch):
    clean.write_text("CLIP_MODEL_PATH=/from/dotenv\nSIGLIP_MODEL_PATH='/with a space'\n")
    monkeypatch.setenv("CLIP_MODEL_PATH", "/from/environment")
    environment.prepare()
    import os

    assert os.environ["CLIP_MODEL_PATH"] == "/from/environment"
    assert os.environ["SIGLIP_MODEL_PATH"] == "/with a space"


def test_without_dotenv_nothing_is_set_but_cublas(clean):
    environment.prepare()
    import os

    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not any(name in os.environ for name in VARIABLES)


def test_a_value_that_is_not_deterministic_is_an_error_from_dotenv_too(clean):
    clean.write_text("CUBLAS_WORKSPACE_CONFIG=:0:0\n")
    with pytest.raises(UserError, match=r"CUBLAS_WORKSPACE_CONFIG: expected :4096:8 or :16:8 .*, got ':0:0'; unset it"):
        environment.prepare()


def test_the_example_names_every_variable_that_the_configuration_reads(clean, compose, monkeypatch):
    names = re.findall(r"^(\w+)=$", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(names) == set(VARIABLES)
    clean.write_text("".join(f"{name}=/somewhere/{name}\n" for name in names))
    environment.prepare()
    config = compose("experiment=paper")
    assert config.models.path == "/somewhere/CLIP_MODEL_PATH"
    assert config.models.head_path == "/somewhere/AESTHETIC_PREDICTOR_PATH"
    assert config.evaluator.aesthetic_v2_5.siglip_path == "/somewhere/SIGLIP_MODEL_PATH"
    assert config.evaluator.aesthetic_v2_5.head_path == "/somewhere/AESTHETIC_PREDICTOR_V2_5_PATH"


def test_the_place_of_dotenv_is_the_projects_root():
    assert environment.DOTENV == ROOT / ".env"


def test_a_variable_that_is_empty_is_as_good_as_none(clean, compose):
    from das_ag.experiment.plan import choose_evaluators, choose_guide

    clean.write_text("".join(f"{name}=\n" for name in VARIABLES))
    environment.prepare()
    config = compose("experiment=paper")
    assert not any(file.given for file in choose_guide(config.models).files().values())
    assert not any(file.given for file in choose_evaluators(config.evaluator)["aesthetic_v2_5"].files())
