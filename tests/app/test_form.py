"""What a person sets, as configuration, command line and stored sample."""

from __future__ import annotations

import dataclasses
import json
import shlex

import pytest

from das_ag.demo import presets, state
from das_ag.demo.form import SETTINGS, Form, form_of, settings_of
from das_ag.demo.presets import PRESETS
from das_ag.errors import UserError
from das_ag.methods import METHODS
from das_ag.settings.configuration import compose_config
from das_ag.settings.plan import make_plan
from das_ag.store.command import overrides_of

FORM = Form("tiny", ("das_ag",), ("a red heart",), (), 7)
CHANGES = {
    "steps": 5,
    "canvas_px": 100,
    "learning_rate": 0.25,
    "views.noise.kind": "cosine",
    "objective.aesthetic.end": 2.0,
    "betas": [0.4, 0.9],
    "pyramid.max_level_px": 64,
    "runtime.deterministic": False,
}


@pytest.mark.parametrize("changes", [{}, CHANGES])
@pytest.mark.parametrize(
    ("positive", "negative"),
    [
        (("a red heart",), ()),
        (("a red heart", "a blue cross, small"), ("a star",)),
        (('say "red ${oc.env:HOME}" \\', "red ../../etc/passwd"), ("'red' $HOME `x`, {a: b}",)),
        (("3 red hearts é 心",), ()),
    ],
)
def test_command_line_and_form_make_the_same_sample(changes, positive, negative):
    form = dataclasses.replace(FORM, positive=positive, negative=negative, settings=changes)
    (plan,) = form.plans()
    words = shlex.split(form.command())
    assert words[:4] == ["uv", "run", "das-ag", "run"]
    (sample,) = make_plan(compose_config(words[4:])).samples
    assert sample.key == plan.samples[0].key
    assert (sample.positive, sample.negative) == (positive, negative)
    assert form_of(sample) == form


def test_a_sample_of_das_comes_back_without_the_weight_that_it_does_not_have():
    form = dataclasses.replace(FORM, methods=("das",), settings=CHANGES)
    (plan,) = form.plans()
    kept = {name: value for name, value in CHANGES.items() if name != "objective.aesthetic.end"}
    again = form_of(plan.samples[0])
    assert again == dataclasses.replace(form, settings=kept)
    assert again.plans()[0].samples[0].key == plan.samples[0].key


def test_a_sample_of_a_version_that_was_always_deterministic_comes_back(compose):
    """As its command line does, which says so too."""
    (plan,) = FORM.plans()
    settings = {name: value for name, value in plan.samples[0].settings.items() if name != "deterministic"}
    older = dataclasses.replace(plan.samples[0], settings=settings)
    assert form_of(older) == FORM
    assert make_plan(compose(*overrides_of(older))).settings.deterministic is True


def test_several_methods_are_a_sweep():
    form = dataclasses.replace(FORM, methods=tuple(METHODS))
    assert [plan.samples[0].method for plan in form.plans()] == ["das", "das_ag", "das_rag"]
    assert form.command().startswith("uv run das-ag run -m method=das,das_ag,das_rag models=tiny evaluator=tiny ")


def test_equal_prompts_find_each_other_and_name_no_path():
    (plan,) = FORM.plans()
    assert FORM.plans()[0].samples[0].folder == plan.samples[0].folder
    (evil,) = dataclasses.replace(FORM, positive=("../../../red heart/\0x".replace("\0", ""),)).plans()
    assert len(evil.samples[0].folder.parts) == 3
    assert ".." not in evil.samples[0].folder.name


@pytest.mark.parametrize("name", ["tiny", *PRESETS])
def test_a_preset_changes_nothing_but_itself(name):
    settings = settings_of(PRESETS[name])
    assert set(settings) <= set(SETTINGS)
    config = compose_config(PRESETS[name].overrides)
    assert settings["views.count"] == config.views.count
    assert settings["canvas_px"] == config.canvas_px
    assert dataclasses.replace(FORM, preset=name).all_settings == settings


def test_examples_come_from_the_configuration():
    positive, negative = PRESETS["paper"].examples()["mona lisa"]
    prompts = compose_config(["prompts=published"]).prompts
    assert (positive, negative) == (prompts.positive.mona_lisa, tuple(prompts.negative))
    assert len(PRESETS["tiny"].examples()) == 12


def test_settings_go_into_a_file():
    entry = json.loads(dataclasses.replace(FORM, settings={"steps": 5}).to_json())
    assert (entry["preset"], entry["seed"], entry["settings"]["steps"]) == ("tiny", 7, 5)
    assert entry["command"].endswith("name=demo steps=5")


def test_no_prompt_and_unknown_words_are_told():
    with pytest.raises(UserError, match="Prompt: expected a text, got none"):
        dataclasses.replace(FORM, positive=()).plans()
    with pytest.raises(UserError, match="the guide knows no word of 'unicorns'"):
        dataclasses.replace(FORM, positive=("unicorns",)).plans()


def test_a_sample_of_another_version_is_told(sample_of):
    with pytest.raises(UserError, match="this version cannot read the settings"):
        form_of(sample_of())
    (plan,) = FORM.plans()
    with pytest.raises(
        UserError, match="expected one of the methods das, das_ag, das_rag, got 'mine'; use the command line instead"
    ):
        form_of(dataclasses.replace(plan.samples[0], method="mine"))
    settings = {**plan.samples[0].settings, "objective": {**plan.samples[0].settings["objective"], "aesthetic": None}}
    with pytest.raises(UserError, match=r"'objective\.aesthetic\.kind' is missing"):
        form_of(dataclasses.replace(plan.samples[0], settings=settings))
    settings = {**plan.samples[0].settings, "guide": {"family": "other"}}
    with pytest.raises(UserError, match=r"models\.family: this version has no models"):
        form_of(dataclasses.replace(plan.samples[0], settings=settings))


def test_a_sample_of_models_that_are_gone_is_told_with_the_version_that_had_them(old_store):
    with pytest.raises(UserError, match=r"only version 0\.1\.0 of das-ag has the models that made"):
        form_of(old_store.records()[0][0].sample)


def test_models_that_are_missing_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert presets.lack_of(PRESETS["tiny"].overrides) is None
    lack = presets.lack_of(PRESETS["laptop"].overrides)
    missing = {file.what: file.licence for file in lack.files}
    assert missing["CLIP ViT-B/32"] == missing["LAION aesthetic head for ViT-B/32"] == "MIT"
    assert lack.problem == ""
    monkeypatch.setenv("CLIP_MODEL_PATH", str(tmp_path / "none.pt"))
    presets._composed.cache_clear()
    assert "the weights are missing; point CLIP_MODEL_PATH to it" in presets.lack_of(PRESETS["paper"].overrides).problem
    presets._composed.cache_clear()


@pytest.mark.parametrize(
    ("guide", "preset", "name"),
    [({}, None, None), ({"name": "ViT-B/32"}, "laptop", None), ({"name": "ViT-B/16"}, None, "ViT-B/16")],
)
def test_a_sample_of_a_clip_comes_back_with_its_clip(guide, preset, name):
    """Whatever its other settings are."""
    (plan,) = FORM.plans()
    guide = {"family": "openai_clip", "attention": "sdpa", "guide_dropout": False, **guide}
    form = form_of(dataclasses.replace(plan.samples[0], settings={**plan.samples[0].settings, "guide": guide}))
    assert preset in (None, form.preset)
    assert form.settings.get("models.name") == name


def test_a_form_comes_back_from_its_widgets():
    widgets: dict[str, object] = {}
    state.begin(widgets)
    begun = state.form_in(widgets)
    assert begun.methods == tuple(METHODS)
    assert begun.settings == {}
    form = dataclasses.replace(FORM, positive=("a", "b"), negative=("c",), settings=CHANGES)
    state.put(widgets, form)
    assert state.form_in(widgets) == form
    state.reset(widgets)
    assert state.form_in(widgets) == dataclasses.replace(form, settings={})


def test_prompts_are_added_and_removed():
    widgets: dict[str, object] = {}
    state.begin(widgets)
    state.add_prompt(widgets, "positive")
    first, second = widgets["positive prompts"]
    widgets[f"positive {second}"] = "  a blue cross  "
    assert state.prompts(widgets, "positive")[1] == "a blue cross"
    state.remove_prompt(widgets, "positive", first)
    assert state.prompts(widgets, "positive") == ("a blue cross",)
    widgets[f"positive {second}"] = " "
    assert state.prompts(widgets, "positive") == ()


def test_a_random_seed_is_drawn_and_a_fixed_one_stays():
    widgets: dict[str, object] = {}
    state.begin(widgets)
    widgets["seed"] = 5
    state.draw_seed(widgets)
    assert widgets["seed"] == 5
    widgets["seed mode"] = "random"
    state.draw_seed(widgets)
    drawn = widgets["seed"]
    state.draw_seed(widgets)
    assert widgets["seed"] != drawn
    with pytest.raises(UserError, match="seed: expected at most"):
        state.put(widgets, dataclasses.replace(FORM, seed=2**60))
