"""The recipe inside each image: for people, and enough for a program to make the image again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shlex
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from das_ag.errors import UserError
from das_ag.generation.generate import generate
from das_ag.generation.recipe import Recipe, read_recipe, text_of
from das_ag.settings.configuration import compose_config
from das_ag.settings.plan import make_plan
from das_ag.store.command import command_of
from das_ag.store.files import encode_png
from das_ag.store.samples import Placement
from das_ag.store.store import Store

ASKED = {
    "heart": '{"prompt": "a red heart 赤いハート ❤ très “joli”", "id": "heart", "negative": "a ring, плохо"}',
    "star": '{"prompt": ["a yellow star", "a star on a blue background"], "id": "star", "seed": 7}',
    "ring": '{"prompt": "a blue ring", "id": "ring", "negative": ["a cross", "a red cross"], "seed": 9007199254740993}',
}
NAMES = ("samples_per_batch", "row", "views_per_pass", "threads")
PLACED = Placement(samples_per_batch=2, row=1, views_per_pass=64, threads=1)


@pytest.fixture(scope="module")
def plan(plan_of, tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    path.write_text("\n".join(ASKED.values()), encoding="utf-8")
    options = ("method=das_ag", "runtime.samples_per_batch=2", "runtime.views_per_pass=3", "runtime.threads=1")
    return plan_of(*tiny, "prompts=file", f"prompts.path={path}", *options)


@pytest.fixture(scope="module")
def made(plan, tmp_path_factory):
    """Path of the image and record of each finished sample, by prompt."""
    store = Store(tmp_path_factory.mktemp("made"))
    generate(plan, store)
    return {record.sample.prompt_id: (store.root / record.image, record) for record in store.records()[0]}


def chunks_of(data):
    """Type and content of the chunks of a PNG. Source: PNG specification, third edition, section 5.3."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = [], 8
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        kind, content = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        assert struct.unpack(">I", data[place + 8 + length : place + 12 + length])[0] == zlib.crc32(kind + content)
        chunks.append((kind.decode(), content))
        place += 12 + length
    return chunks


def text_in(data):
    """International text of a PNG by keyword. Source: the same, section 11.3.3.4."""
    texts = {}
    for kind, content in chunks_of(data):
        if kind == "iTXt":
            keyword, rest = content.split(b"\0", 1)
            assert rest[:2] == b"\0\0"  # not compressed
            _language, _translated, text = rest[2:].split(b"\0", 2)
            assert keyword.decode("latin-1") not in texts
            texts[keyword.decode("latin-1")] = text.decode("utf-8")
    return texts


@pytest.mark.parametrize(
    ("prompt_id", "prompt", "negative", "seed"),
    [
        ("heart", "a red heart 赤いハート ❤ très “joli”", "a ring, плохо", "42"),
        ("star", "a yellow star\na star on a blue background", None, "7"),
        ("ring", "a blue ring", "a cross\na red cross", "9007199254740993"),
    ],
)
def test_an_image_says_what_it_is(made, prompt_id, prompt, negative, seed):
    path, record = made[prompt_id]
    texts = text_in(path.read_bytes())
    whole = texts.pop("Recipe")
    assert texts == {
        "Software": "das-ag",
        "Prompt": prompt,
        **({"Negative prompt": negative} if negative else {}),
        "Method": "das_ag",
        "Seed": seed,
        "Key": record.sample.key,
        "Command": command_of(record.sample),
    }
    assert all(json.dumps(text, ensure_ascii=False) in whole for text in record.sample.positive)  # as people read it
    assert json.loads(whole) == {
        "sample": record.sample.identity(),
        "placement": {name: record.provenance[name] for name in NAMES},
    }


def test_its_command_and_its_recipe_tell_of_the_key_that_it_names(made):
    for path, record in made.values():
        texts = text_in(path.read_bytes())
        told = json.loads(texts["Recipe"])["sample"]
        name = told.pop("prompt_id")
        assert name == record.sample.prompt_id
        plain = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert hashlib.sha256(plain.encode()).hexdigest() == texts["Key"]
        (sample,) = make_plan(compose_config(shlex.split(texts["Command"])[4:])).samples
        assert sample == record.sample


def test_the_text_stands_before_the_pixels(made):
    """Programs that read no further than they must find it."""
    for path, _ in made.values():
        kinds = [kind for kind, _ in chunks_of(path.read_bytes())]
        assert kinds[0] == "IHDR"
        assert kinds[-1] == "IEND"
        assert kinds.index("IDAT") > max(place for place, kind in enumerate(kinds) if kind == "iTXt")


def test_a_recipe_is_read_as_it_was_written(made):
    for path, record in made.values():
        recipe = read_recipe(path)
        assert recipe == Recipe(record.sample, record.placement)
        assert recipe.sample.key == record.sample.key
    placements = [made[name][1].placement for name in ("heart", "star", "ring")]  # the last batch has one
    assert [(p.samples_per_batch, p.row, p.views_per_pass) for p in placements] == [(2, 0, 3), (2, 1, 3), (1, 0, 3)]


def test_a_copy_of_the_file_has_it_under_any_name(made, tmp_path):
    path, record = made["heart"]
    copy = tmp_path / "赤 1.PNG"
    copy.write_bytes(path.read_bytes())
    assert read_recipe(copy) == Recipe(record.sample, record.placement)


def test_the_same_sample_has_the_same_bytes(plan, made, tmp_path):
    again = Store(tmp_path)
    generate(plan, again)
    for path, record in made.values():
        assert (again.root / record.image).read_bytes() == path.read_bytes()


def test_another_place_in_a_batch_is_told_by_the_recipe_alone(plan):
    first, second = (text_of(Recipe(plan.samples[0], dataclasses.replace(PLACED, row=row))) for row in (0, 1))
    assert {name for name in first if first[name] != second[name]} == {"Recipe"}


def saved_by_another_program(made, path):
    with Image.open(made["heart"][0]) as image:
        image.save(path)


def with_another_text(made, path):
    chunks = PngInfo()
    chunks.add_text("Prompt", "a red heart")
    Image.new("RGB", (4, 4)).save(path, pnginfo=chunks)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.gif"])
@pytest.mark.parametrize("save", [saved_by_another_program, with_another_text])
def test_an_image_without_a_recipe_is_told(made, tmp_path, save, name):
    path = tmp_path / name
    save(made, path)
    with pytest.raises(UserError) as told:
        read_recipe(path)
    assert str(told.value) == (
        f"{path}: expected a PNG with a recipe, got one without. Use the file that das-ag wrote; copies saved by "
        "other programs may lack the recipe."
    )


def huge():
    """A file of some bytes that unpacks to 2.7 GB."""
    chunks = {b"IHDR": struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0), b"IDAT": zlib.compress(b""), b"IEND": b""}
    packed = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks.items()]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize("content", ["nothing", "folder", b"", b"no image", "cut off", "one bit", "huge"])
def test_what_is_no_image_is_told(made, tmp_path, content):
    path, whole = tmp_path / "image.png", bytearray(made["heart"][0].read_bytes())
    if content == "folder":
        path.mkdir()
    elif content != "nothing":
        spoilt = whole.copy()
        spoilt[-40] ^= 1  # among the pixels
        path.write_bytes({"cut off": whole[:-100], "one bit": spoilt, "huge": huge()}.get(content, content))
    with pytest.raises(UserError) as told:
        read_recipe(path)
    start, end = f"{path}: cannot read an image (", "); choose another file."
    assert str(told.value).startswith(start)
    assert str(told.value).endswith(end)
    assert len(str(told.value)) > len(start) + len(end)


def lacking(part, name):
    """The recipe without that name in its sample or its placement."""
    return lambda whole: whole | {part: {other: value for other, value in whole[part].items() if other != name}}


def holding(part, **values):
    return lambda whole: whole | {part: whole[part] | values}


ROW = "(placement.row: expected a whole number of at least 0, got "
FORMS = {
    "empty": (lambda _: "", "Expecting value"),
    "no JSON": (lambda _: "a red heart, seed 42", "Expecting value"),
    "cut off": (lambda whole: json.dumps(whole)[:-5], "delimiter: line 1"),
    "too deep": (lambda _: "[" * 100_000, "nested too deeply"),
    "a list": (lambda whole: [whole], "Recipe contains no JSON object"),
    "a number": (lambda _: 42, "Recipe contains no JSON object"),
    "no sample": (lambda whole: {"placement": whole["placement"]}, "sample: expected a group of values, found none"),
    "no placement": (lambda whole: {"sample": whole["sample"]}, "placement: expected a group of values, found none"),
    **{
        f"no {name}": (lacking("sample", name), f"({name}: expected ")
        for name in ("method", "prompt_id", "positive", "negative", "seed", "settings")
    },
    "no texts": (holding("sample", positive=None), "(positive: expected a list of at least one text, got None)"),
    **{
        f"no {name}": (lacking("placement", name), f"(placement.{name}: expected a whole number of at least ")
        for name in NAMES
    },
    "a new name": (holding("placement", nodes=2), "(placement: unknown setting 'nodes'; expected "),
    "a row in words": (holding("placement", row="first"), f"{ROW}'first')"),
    "half a row": (holding("placement", row=0.5), f"{ROW}0.5)"),
    "a true row": (holding("placement", row=True), f"{ROW}True)"),
    "no group": (lambda whole: whole | {"placement": [2, 1]}, "(placement: expected a group of values, got [2, 1])"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_a_recipe_of_another_form_is_told(plan, tmp_path, name):
    change, said = FORMS[name]
    changed = change(json.loads(text_of(Recipe(plan.samples[0], PLACED))["Recipe"]))
    text = changed if isinstance(changed, str) else json.dumps(changed)
    path = tmp_path / "image.png"
    path.write_bytes(encode_png(np.zeros((4, 4, 3), np.uint8), {"Recipe": text}))
    with pytest.raises(UserError) as told:
        read_recipe(path)
    assert str(told.value).startswith(f"{path}: this version cannot read the recipe (")
    assert said in str(told.value)
    assert str(told.value).endswith("); use the version of das-ag that made the image.")
