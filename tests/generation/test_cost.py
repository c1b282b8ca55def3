"""What a recipe from a file costs, and that a large one does not run unasked."""

from __future__ import annotations

import dataclasses
import io
import sys

import pytest

from das_ag.errors import UserError
from das_ag.generation.cost import Cost, confirm, cost_of
from das_ag.generation.recipe import Recipe
from das_ag.generation.regenerate import plan_of as plan_of_recipe
from das_ag.generation.regenerate import regenerate
from das_ag.store.samples import Placement

PUBLISHED = Cost(steps=200, views=8, samples=1, canvas_px=512, level_bytes=4 * 12 * (4**10 - 1) // 3)
"""One image of the published experiment, which has 36."""
LARGER = {"steps": 36 * 200 + 1, "views": 36 * 8 + 1, "samples": 37, "level_bytes": 10**9 + 1}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("as_much", [{}, {"steps": 36 * 200}, {"samples": 36}, {"level_bytes": 10**9}])
def test_the_published_experiment_is_not_asked_about(compose_paper, monkeypatch, capsys, as_much):
    """By its own configuration, so that a change there is seen here."""
    monkeypatch.setattr(sys, "stdin", None)
    values = compose_paper()
    assert (values.steps, values.views.count, values.canvas_px) == (200, 8, 512)
    assert 3 * len(values.seeds) * len(values.prompts.positive) == 36
    confirm("das lighthouse seed 42", dataclasses.replace(PUBLISHED, **as_much), yes=False)
    assert capsys.readouterr() == ("", "")


def test_a_cost_is_that_of_all_images_of_the_batch(plan_of, tiny):
    """Levels of 1, 2, 4, 8, 16 and 32 px, three channels, four bytes, four copies."""
    plan = plan_of(*tiny, "views.count=3")
    cost = cost_of(plan, Placement(samples_per_batch=5, row=0, views_per_pass=1, threads=1))
    assert cost == Cost(steps=3, views=3, samples=5, canvas_px=32, level_bytes=5 * 3 * 4 * 4 * (4**6 - 1) // 3)
    assert cost.images == 45 / 1600
    assert str(dataclasses.replace(cost, level_bytes=9 * 10**9)).endswith(", and 9,000 MB for the pyramid")
    assert ": 9,600.0 times the views" in str(dataclasses.replace(cost, steps=1_024_000))
    assert str(dataclasses.replace(cost, steps=64_000)) == (
        "64,000 steps, 15 views in each, a canvas of 32 px: 600.0 times the views of a published image, and 0 MB for "
        "the pyramid"
    )
    assert str(Cost(1, 1, 1, 32, 0)).startswith("1 step, 1 view in each, a canvas of 32 px: ")


@pytest.mark.parametrize("name", LARGER)
@pytest.mark.parametrize(("answer", "goes_on"), [("y\n", True), ("YES\n", True), ("\n", False), ("", False)])
def test_a_larger_one_is_shown_and_asked_about(monkeypatch, capsys, name, answer, goes_on):
    cost = dataclasses.replace(PUBLISHED, **{name: LARGER[name]})
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    if goes_on:
        confirm("das heart seed 42", cost, yes=False)
    else:
        with pytest.raises(UserError, match=r"^das heart seed 42: not made, since the answer was no"):
            confirm("das heart seed 42", cost, yes=False)
    assert capsys.readouterr().err == f"das heart seed 42: {cost}.\nGo on? [y/N] "


@pytest.mark.parametrize("stdin", [None, io.StringIO("y\n")], ids=["closed", "no terminal"])
def test_without_a_terminal_a_larger_one_needs_a_word(monkeypatch, capsys, stdin):
    cost = dataclasses.replace(PUBLISHED, steps=7201)
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(UserError) as told:
        confirm("das heart seed 42", cost, yes=False)
    assert str(told.value) == (
        "das heart seed 42: asks for more than the published experiment; add --yes to make it all the same."
    )
    confirm("das heart seed 42", cost, yes=True)
    assert capsys.readouterr().err == f"das heart seed 42: {cost}.\n" * 2


@pytest.mark.parametrize(
    ("override", "placed", "said"),
    [
        ("steps=1000001", {}, "steps: expected at most 1,000,000, got 1,000,001; lower it."),
        ("views.count=10001", {}, "views.count: expected at most 10,000, got 10,001;"),
        ("steps=3", {"samples_per_batch": 10**12}, "runtime.samples_per_batch: expected at most 65,536, got "),
        ("steps=3", {"threads": 10**12}, "runtime.threads: expected at most"),
        ("canvas_px=8193", {}, "canvas_px: expected at most 8,192, got 8,193;"),
    ],
)
def test_numbers_have_bounds_that_are_told(plan_of, tiny, override, placed, said):
    sample = plan_of(*tiny).samples[0]
    name, _, value = override.partition("=")
    group = {"steps": "ascent", "views.count": "views", "canvas_px": "pyramid"}[name]
    values = sample.settings[group] | {name.removeprefix("views."): int(value)}
    asked = dataclasses.replace(sample, settings=sample.settings | {group: values})
    with pytest.raises(UserError, match=said):
        regenerate(
            Recipe(asked, Placement(**{"samples_per_batch": 1, "row": 0, "views_per_pass": 1, "threads": 1} | placed))
        )


def test_it_is_asked_before_anything_is_loaded(plan_of, tiny, monkeypatch):
    sample = plan_of(*tiny).samples[0]
    monkeypatch.setattr("das_ag.generation.regenerate.guide_of", None)
    seen = []

    def allow(name, cost):
        seen.append((name, cost.steps))
        raise UserError("no")

    with pytest.raises(UserError, match=r"^no$"):
        regenerate(Recipe(sample, Placement(1, 0, 1, 1)), allow=allow)
    assert seen == [(sample.name, 3)]


LEAK = "${oc.env:SECRET}"


@pytest.mark.parametrize("place", ["family", "name", "randomness", "precision", "method", "text", "negative", "kind"])
def test_texts_of_a_recipe_are_texts(plan_of, tiny, monkeypatch, place):
    """Nothing of the environment gets into a run, or into what it says."""
    monkeypatch.setenv("SECRET", "das_ag")
    sample = plan_of(*tiny).samples[0]
    settings = sample.settings
    noise = settings["views"]["noise"]
    changes = {
        "family": {"settings": settings | {"guide": {"family": LEAK}}},
        "name": {"settings": settings | {"guide": settings["guide"] | {"name": LEAK}}},
        "randomness": {"settings": settings | {"randomness": LEAK}},
        "precision": {"settings": settings | {"precision": LEAK}},
        "method": {"method": LEAK},
        "text": {"positive": (f"a red heart {LEAK} \\{LEAK}", f"a star {LEAK}")},
        "negative": {"negative": (f"a red heart {LEAK} {{}}",)},
        "kind": {"settings": settings | {"views": settings["views"] | {"noise": noise | {"kind": LEAK}}}},
    }[place]
    recipe = Recipe(dataclasses.replace(sample, **changes), Placement(1, 0, 1, 1))
    if place in ("text", "negative"):
        (got,) = plan_of_recipe(recipe).samples
        assert (got.positive, got.negative) == (recipe.sample.positive, recipe.sample.negative)
    else:
        with pytest.raises(UserError) as told:
            plan_of_recipe(recipe)
        assert LEAK in str(told.value) or place == "name"
        assert "das_ag" not in str(told.value)


def test_a_recipe_names_no_files(plan_of, tiny, monkeypatch):
    """Only the user and the environment say which files to read."""
    sample = plan_of("models=imagenet", "evaluator=imagenet", "prompts=animals").samples[0]
    guide = sample.settings["guide"] | {"checkpoint": "/dev/zero"}
    asked = dataclasses.replace(sample, settings=sample.settings | {"guide": guide})
    with pytest.raises(UserError, match=r"expected a recipe without files, got models\.checkpoint; use an unmodified"):
        plan_of_recipe(Recipe(asked, Placement(1, 0, 1, 1)))


@pytest.mark.parametrize(
    ("override", "count"),
    [("seeds=[1,2]", 2), ("++prompts.positive.star=a star", 2), ("shards=2", 1), ("shard=1", 0)],
)
def test_overrides_that_ask_for_another_number_of_samples_are_told(plan_of, tiny, override, count):
    sample = plan_of(*tiny).samples[0]
    overrides = ["shards=2", "shard=1"] if override == "shard=1" else [override]
    recipe = Recipe(sample, Placement(1, 0, 1, 1))
    if count == 1:
        assert plan_of_recipe(recipe, overrides).samples == (sample,)
        return
    with pytest.raises(UserError) as told:
        plan_of_recipe(recipe, overrides)
    assert str(told.value) == (
        f"{sample.name}: expected one sample, the one of the recipe, got {count} with {' '.join(overrides)}; leave "
        "out the overrides of seeds, prompts and shards."
    )
