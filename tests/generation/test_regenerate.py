"""Samples that are made again from the recipe that their image carries, in process and as a script."""

from __future__ import annotations

import dataclasses
import math
import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from das_ag import cli
from das_ag.errors import UserError
from das_ag.generation.batch import Made
from das_ag.generation.generate import generate
from das_ag.generation.recipe import Recipe, read_recipe, text_of
from das_ag.generation.regenerate import describe_difference, largest_difference, plan_of, psnr_db, regenerate
from das_ag.settings import environment
from das_ag.store.files import encode_png
from das_ag.store.samples import Placement
from das_ag.store.store import Store

THREE = (
    "prompts=own",
    "prompts.positive={heart: a red heart on a white background, star: [a yellow star, a star], ring: a blue ring}",
    "method=das_ag",
)
CPU = ["runtime.device=cpu"]
"""No part of a recipe."""

WAYS = {
    "a full batch": (("runtime.samples_per_batch=3",), [(3, 0), (3, 1), (3, 2)]),
    "an incomplete last batch": (("runtime.samples_per_batch=2",), [(2, 0), (2, 1), (1, 0)]),
    "published randomness": (("randomness=published", "runtime.samples_per_batch=3"), [(1, 0), (1, 0), (1, 0)]),
    "fast": (("runtime=fast", "runtime.samples_per_batch=2"), [(2, 0), (2, 1), (1, 0)]),
    "bfloat16": (("runtime.precision=bfloat16", "runtime.samples_per_batch=3"), [(3, 0), (3, 1), (3, 2)]),
    "a negative prompt": (("prompts.negative=[a black square]", "method=das_rag"), [(1, 0), (1, 0), (1, 0)]),
    "a view at a time": (("runtime.views_per_pass=1", "runtime.samples_per_batch=3"), [(3, 0), (3, 1), (3, 2)]),
    "two threads": (("runtime.threads=2", "steps=1"), [(1, 0), (1, 0), (1, 0)]),
    "other settings": (
        ("pyramid=all_resolutions", "gamut=clip_normalised", "betas=[0.1,0.9]", "views.augment=false"),
        [(1, 0), (1, 0), (1, 0)],
    ),
}
"""Overrides, and the size of the batch and the row that heart, star and ring have in it."""


@pytest.fixture(scope="module")
def plan(plan_of, tiny):
    return plan_of(*tiny, *THREE, "runtime.samples_per_batch=3", "runtime.views_per_pass=5", "runtime.threads=1")


@pytest.fixture(scope="module")
def made(plan, tmp_path_factory):
    """Path of the image of each finished sample, by prompt."""
    store = Store(tmp_path_factory.mktemp("made"))
    generate(plan, store)
    return {record.sample.prompt_id: store.root / record.image for record in store.records()[0]}


def test_a_sample_of_das_with_a_weight_that_it_does_not_have_can_be_made_again(plan_of, tiny, made):
    """Earlier versions wrote one down."""
    (das, *_), (guided, *_) = (plan_of(*tiny, *THREE, f"method={name}").samples for name in ("das", "das_ag"))
    weight = guided.settings["objective"]["aesthetic"]
    older = dataclasses.replace(
        das, settings={**das.settings, "objective": {**das.settings["objective"], "aesthetic": weight}}
    )
    assert older.key != das.key
    recipe = read_recipe(made["heart"])
    images = [regenerate(dataclasses.replace(recipe, sample=sample), CPU).image for sample in (das, older)]
    np.testing.assert_array_equal(*images)


@pytest.mark.parametrize("way", WAYS)
def test_every_sample_comes_out_in_its_bytes_again(plan_of, tiny, tmp_path, way):
    overrides, placed = WAYS[way]
    plan, store = plan_of(*tiny, *THREE, "runtime.threads=1", *overrides), Store(tmp_path)
    generate(plan, store)
    for sample, (size, row) in zip(plan.samples, placed, strict=True):
        path = store.root / sample.folder / "image.png"
        recipe = read_recipe(path)
        assert (recipe.placement.samples_per_batch, recipe.placement.row) == (size, row)
        again = regenerate(recipe, CPU)
        assert again.png == path.read_bytes()
        assert again.trace == path.with_name("trace.csv").read_bytes()
        np.testing.assert_array_equal(again.image, store.read_image(path))


def test_it_is_made_in_a_batch_as_large_and_in_its_row(made, monkeypatch):
    """Where rows differ in their last bits, its own row counts."""
    seen = []

    def optimise(samples, plan, guide, device, *, watch):
        seen.append((samples, plan.runtime.views_per_pass, torch.get_num_threads(), device.type))
        rows = [np.full((28, 28, 3), row, np.uint8) for row in range(len(samples))]
        return [Made(image, [{"step": float(image.max())}], {}, [], None) for image in rows], 0.0

    monkeypatch.setattr("das_ag.generation.regenerate.optimise", optimise)
    recipe = Recipe(
        read_recipe(made["star"]).sample, Placement(samples_per_batch=5, row=3, views_per_pass=7, threads=3)
    )
    again = regenerate(recipe, CPU)
    assert seen == [([recipe.sample] * 5, 7, 3, "cpu")]
    np.testing.assert_array_equal(again.image, np.full((28, 28, 3), 3))
    assert again.png == encode_png(again.image, text_of(recipe))
    assert again.trace == b"step\n3\n"
    assert (again.provenance["device"], again.provenance["threads"]) == ("cpu", 3)


def changed(sample, group, **changes):
    return dataclasses.replace(sample, settings=sample.settings | {group: sample.settings[group] | changes})


def test_other_weights_are_named(plan):
    sample = plan.samples[0]
    ours, theirs = sample.settings["weights"], dict.fromkeys(sample.settings["weights"], "0" * 64)
    other = dataclasses.replace(sample, settings=sample.settings | {"weights": theirs})
    assert ours
    differences = [f"settings.weights.{name} {ours[name][:16]}… instead of 0000000000000000…" for name in ours]
    with pytest.raises(UserError) as told:
        regenerate(Recipe(other, Placement(1, 0, 64, 1)), CPU)
    assert str(told.value) == (
        f"{sample.name}: expected key {other.key[:12]}, got {sample.key[:12]} ({', '.join(differences)}); "
        "use the version and the weights that made the sample."
    )


def test_another_revision_of_the_algorithm_is_named(plan):
    sample = plan.samples[0]
    ours = sample.settings["revision"]
    other = dataclasses.replace(sample, settings=sample.settings | {"revision": ours + 1})
    with pytest.raises(UserError, match=rf" \(settings\.revision {ours} instead of {ours + 1}\); use the version "):
        regenerate(Recipe(other, Placement(1, 0, 64, 1)), CPU)


def test_models_that_are_gone_are_told_with_the_version_that_had_them(old_store):
    record = old_store.records()[0][0]
    with pytest.raises(UserError) as told:
        regenerate(Recipe(record.sample, Placement(1, 0, 64, 1)), CPU)
    assert str(told.value) == (
        f"{record.sample.name}: only version 0.1.0 of das-ag has the models that made this sample; use that version."
    )


def test_settings_of_another_version_are_named(plan):
    sample = plan.samples[0]
    without = {name: value for name, value in sample.settings.items() if name != "deterministic"}
    earlier = dataclasses.replace(sample, settings=without)
    with pytest.raises(UserError, match=r" \(settings\.deterministic True instead of None\); use the version "):
        regenerate(Recipe(earlier, Placement(1, 0, 64, 1)), CPU)
    later = dataclasses.replace(sample, settings=sample.settings | {"momentum": 0.5})
    with pytest.raises(UserError, match=r" \(settings\.momentum None instead of 0\.5\); use the version "):
        regenerate(Recipe(later, Placement(1, 0, 64, 1)), CPU)
    with pytest.raises(UserError, match=r"'momentum'\. See das-ag run --help\.$"):
        regenerate(Recipe(changed(sample, "ascent", momentum=0.5), Placement(1, 0, 64, 1)), CPU)


@pytest.mark.parametrize("name", ["guide", "pyramid", "views", "objective", "ascent", "precision", "randomness"])
def test_settings_that_are_not_there_are_named(plan, name):
    sample = plan.samples[0]
    without = {other: value for other, value in sample.settings.items() if other != name}
    with pytest.raises(UserError) as told:
        regenerate(Recipe(dataclasses.replace(sample, settings=without), Placement(1, 0, 64, 1)), CPU)
    assert str(told.value) == (
        f"{sample.name}: this version cannot read the settings ('{name}' is missing); use the version of das-ag that "
        "made the sample."
    )


@pytest.mark.parametrize("values", [{"views": "none"}, {"ascent": []}, {"guide": 7}], ids=["text", "list", "number"])
def test_settings_of_another_kind_are_told(plan, values):
    sample = plan.samples[0]
    strange = dataclasses.replace(sample, settings=sample.settings | values)
    said = rf"^{sample.name}: this version cannot read the settings \(.+\); use the version of das-ag that made "
    with pytest.raises(UserError, match=said):
        regenerate(Recipe(strange, Placement(1, 0, 64, 1)), CPU)


def test_what_is_asked_beside_the_recipe_must_not_change_the_sample(made):
    recipe = read_recipe(made["heart"])
    with pytest.raises(UserError, match=r" \(settings\.ascent\.steps 4 instead of 3\); use the version "):
        regenerate(recipe, [*CPU, "steps=4"])
    with pytest.raises(UserError, match=r"unknown setting 'runtime\.devise'\. Did you mean 'runtime\.device'\?"):
        regenerate(recipe, ["runtime.devise=cpu"])


@pytest.mark.parametrize(("size", "row"), [(3, 3), (1, 7), (3, -1), (0, 0)])
def test_a_row_that_is_not_in_its_batch_is_told(plan, size, row):
    with pytest.raises(UserError) as told:
        regenerate(Recipe(plan.samples[0], Placement(size, row, 64, 1)), CPU)
    assert str(told.value) == (
        f"das_ag heart seed 42: expected a row from 0 to {size - 1}, got {row}; use an unmodified recipe."
    )


def test_a_sample_that_cannot_be_made_says_why(plan_of, tiny):
    plan = plan_of(*tiny, *THREE, "views.noise.start=1e38")
    with pytest.raises(
        UserError, match=r"^das_ag heart seed 42: expected a finite loss, got NaN or infinity at step 0"
    ):
        regenerate(Recipe(plan.samples[0], Placement(2, 1, 64, 1)), CPU)


def test_the_plan_of_a_recipe_is_of_that_sample_alone(made):
    for prompt_id, path in made.items():
        recipe = read_recipe(path)
        plan = plan_of(recipe, CPU)
        assert [sample.prompt_id for sample in plan.samples] == [prompt_id]
        assert plan.samples == (recipe.sample,)


def filled(*values):
    """An image of one row with these channels."""
    return np.array(values, np.uint8).reshape(1, -1, 3)


GREY, BLACK, WHITE = filled(*[100] * 6), filled(*[0] * 6), filled(*[255] * 6)


@pytest.mark.parametrize(
    ("first", "second", "largest", "decibel"),
    [
        (GREY, GREY, 0, math.inf),
        (BLACK, WHITE, 255, 0.0),  # 10 log₁₀ 1
        (BLACK, filled(*[51] * 6), 51, 10 * math.log10(25)),  # 51 is a fifth of 255
        (WHITE, filled(*[254] * 6), 1, 20 * math.log10(255)),
        (GREY, filled(100, 100, 100, 100, 100, 110), 10, 10 * math.log10(255**2 * 6 / 100)),
        (GREY, filled(97, 100, 100, 104, 100, 100), 4, 10 * math.log10(255**2 * 6 / 25)),
    ],
)
def test_how_far_two_images_are_apart(first, second, largest, decibel):
    for one, other in ((first, second), (second, first)):
        assert largest_difference(one, other) == largest
        assert psnr_db(one, other) == pytest.approx(decibel, rel=1e-12)


def test_a_difference_is_said_in_a_few_words():
    assert describe_difference(BLACK, filled(*[51] * 6)) == "largest pixel difference 51 of 255, PSNR 14.0 dB"
    assert describe_difference(GREY, GREY) == "same pixels, different bytes in the file"
    wide = np.zeros((2, 7, 3), np.uint8)
    assert describe_difference(GREY, wide) == "7 × 2 px instead of 2 × 1 px"


@pytest.fixture
def script(monkeypatch, tmp_path, capsys):
    """Runs das-ag regenerate in this process and a folder of its own: exit status, stdout, stderr."""
    monkeypatch.setattr(environment, "DOTENV", tmp_path / "no.env")
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # which would else be set for good
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        status = cli.main(["regenerate", *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


def test_the_script_writes_the_same_file_again(script, made, tmp_path):
    status, out, err = script(made["star"], *CPU)
    assert (status, err) == (0, "")
    assert out == "das_ag star seed 42: a yellow star / a star\nimage-again.png: the same bytes\n"
    assert (tmp_path / "image-again.png").read_bytes() == made["star"].read_bytes()


def test_the_script_writes_where_it_is_told(script, made, tmp_path):
    status, out, _ = script("runtime.device=cpu", made["star"], "--to", tmp_path / "mine.png")
    assert status == 2  # an image comes first
    status, out, _ = script(made["star"], "--to", tmp_path / "mine.png", *CPU)
    assert (status, out.splitlines()[1]) == (0, f"{tmp_path / 'mine.png'}: the same bytes")
    assert {path.name for path in tmp_path.iterdir()} == {"mine.png"}


def resaved(path, target, change):
    """The image with its recipe as another program might save it."""
    recipe = read_recipe(path)
    with Image.open(path) as image:
        target.write_bytes(encode_png(change(np.array(image)), text_of(recipe) | {"Comment": "mine"}))
    return target


def brighter(pixels):
    """One channel of one pixel by 40: 10 log₁₀(255² · 28 · 28 · 3 / 40²) = 49.8 dB."""
    value = int(pixels[3, 4, 1])
    pixels[3, 4, 1] = value + 40 if value < 128 else value - 40
    return pixels


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (brighter, "largest pixel difference 40 of 255, PSNR 49.8 dB"),
        (lambda pixels: pixels[::2, 7:].copy(), "28 × 28 px instead of 21 × 14 px"),
    ],
    ids=["pixels", "size"],
)
def test_the_script_says_how_an_image_differs(script, made, tmp_path, change, said):
    changed = resaved(made["heart"], tmp_path / "changed.png", change)
    status, out, err = script(changed, *CPU)
    assert (status, err) == (1, "")
    assert out.splitlines()[1:] == [f"changed-again.png: {said}"]
    assert (tmp_path / "changed-again.png").read_bytes() == made["heart"].read_bytes()


def test_words_that_people_read_may_be_others(script, made, tmp_path):
    """Another version may word them otherwise; the image and its recipe are what counts."""
    reworded = resaved(made["heart"], tmp_path / "reworded.png", lambda pixels: pixels)
    assert reworded.read_bytes() != made["heart"].read_bytes()
    status, out, _ = script(reworded, *CPU)
    assert (status, out.splitlines()[1]) == (
        0,
        "reworded-again.png: the same bytes, except for the wording of the text in the PNG",
    )


def test_the_script_makes_no_large_image_without_a_word(script, made, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setattr("das_ag.generation.cost.PUBLISHED_VIEWS", 0.001)
    status, _, err = script(made["heart"], *CPU)
    assert status == 2
    assert err.splitlines()[0].startswith("das_ag heart seed 42: 3 steps, 6 views in each, a canvas of 32 px: ")
    asks = "asks for more than the published experiment; add --yes to make it all the same."
    assert err.splitlines()[1:] == [f"Error: das_ag heart seed 42: {asks}"]
    assert list(tmp_path.iterdir()) == []
    assert script(made["heart"], "--yes", *CPU)[0] == 0


def test_the_script_compares_with_what_was_there_before_it_wrote(script, made, tmp_path):
    changed = resaved(made["heart"], tmp_path / "changed.png", brighter)
    status, out, _ = script(changed, "--to", changed, *CPU)
    assert status == 1
    assert "largest pixel difference 40 of 255" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.png"], r"nowhere\.png: cannot read an image \(.*\); choose another file\."),
        (["plain.png"], r"plain\.png: expected a PNG with a recipe, got one without\. .*\."),
        (["heart.png", "steps=4"], r"das_ag heart seed 42: expected key .*\.steps 4 instead of 3\); .*\."),
        (["heart.png", "seeds=[1,2]"], r"das_ag heart seed 42: expected one sample, .*, got 2 with seeds=\[1,2\] .*"),
        (["heart.png", "--to", "no/again.png"],
         r"no/again\.png: cannot write the new image \(No such file or directory\); give another file with --to\."),
        (["heart.png", "--to", "plain.png/again.png"], r".*cannot write the new image \(Not a directory\); give .*"),
        (["heart.png", "--to", "."], r"\.: cannot write the new image \(Is a directory\); give .*"),
        (["heart.png", "--to", "n" * 300], r".*cannot write the new image \(File name too long\); give .*"),
    ],
)  # fmt: skip
def test_the_script_says_why_nothing_was_made(script, made, tmp_path, monkeypatch, arguments, said):
    if "--to" in arguments:
        monkeypatch.setattr("das_ag.commands.regenerate.regenerate", lambda *_, **__: pytest.fail("made"))
    Image.new("RGB", (4, 4)).save("plain.png")
    (tmp_path / "heart.png").write_bytes(made["heart"].read_bytes())
    status, _, err = script(*arguments, *CPU)
    assert status == 2
    assert re.fullmatch(f"Error: {said}\n", err)
    assert {path.name for path in tmp_path.iterdir()} == {"plain.png", "heart.png"}
