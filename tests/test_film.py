"""Films of an ascent: what a run keeps, what das-ag film makes of it, and what the films show."""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile

import numpy as np
import pytest
from PIL import Image, ImageSequence

from das_ag import cli
from das_ag.errors import UserError
from das_ag.generation.frames import is_frame, shrunk
from das_ag.generation.generate import generate
from das_ag.report.film import Clip, ascent_clip, check_target, encode, film_of
from das_ag.settings import environment
from das_ag.store.reading import FRAME_PX, MOST_FRAMES
from das_ag.store.store import Store

THREE = ("prompts=own", "prompts.positive={heart: a red heart, star: a yellow star}", "method=das_ag")


@pytest.fixture(scope="module")
def films(plan_of, tiny, tmp_path_factory):
    """A store of two samples with the pictures of their ascents."""
    store = Store(tmp_path_factory.mktemp("films"))
    generate(plan_of(*tiny, *THREE, "film=true", "runtime.samples_per_batch=2"), store)
    return store


@pytest.fixture
def program(monkeypatch, tmp_path, capsys):
    """Runs das-ag film in this process and a folder of its own: exit status, stdout, stderr."""
    monkeypatch.setattr(environment, "DOTENV", tmp_path / "no.env")
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # which would else be set for good
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        status = cli.main(["film", *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def without_pictures(films, tmp_path):
    store = Store(shutil.copytree(films.root, tmp_path / "store"))
    for path in store.root.rglob("frames.webp"):
        path.unlink()
    return store


def pictures_in(path):
    with Image.open(path) as film:
        return [np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(film)]


def distance(first, second):
    return np.abs(first.astype(int) - second.astype(int)).mean()


def test_pictures_are_spread_from_the_first_step_to_the_last():
    for steps in (1, 2, 3, 47, 48, 49, 100, 1000):
        shown = [step for step in range(steps) if is_frame(step, steps)]
        assert len(shown) == min(steps, MOST_FRAMES)
        assert {0, steps - 1} <= {*shown}
        assert len({*np.diff(shown)}) <= 2


def test_a_picture_is_the_image_scaled_down_and_never_up():
    large = np.zeros((512, 512, 3), np.uint8)
    large[:, 256:] = 255
    assert shrunk(large).shape == (FRAME_PX, FRAME_PX, 3)
    assert (shrunk(large)[0, 0].max(), shrunk(large)[0, -1].min()) == (0, 255)
    small = np.arange(28 * 28 * 3).reshape(28, 28, 3).astype(np.uint8)
    np.testing.assert_array_equal(shrunk(small), small)


def test_pictures_change_neither_key_nor_image(films, plan_of, tiny, tmp_path):
    plain, store = plan_of(*tiny, *THREE, "runtime.samples_per_batch=2"), Store(tmp_path)
    generate(plain, store)
    for sample in plain.samples:
        assert films.is_finished(sample)
        folder = sample.folder
        assert {path.name for path in (films.root / folder).iterdir()} - {"frames.webp"} == {
            path.name for path in (store.root / folder).iterdir()
        }
        for name in ("image.png", "trace.csv", "levels.npz"):
            assert (films.root / folder / name).read_bytes() == (store.root / folder / name).read_bytes()
    again = generate(plain, films)
    assert (again.made, again.found) == (0, 2)


def test_a_run_keeps_a_picture_of_each_step_and_ends_with_the_image(films, program, tmp_path):
    for record in films.records()[0]:
        frames = films.read_frames(record)
        assert len(frames) == 3
        image = films.read_image(record.image)
        distances = [distance(frame, image) for frame in frames]
        assert distances == sorted(distances, reverse=True)
        assert distances[-1] < 8 < distances[0]  # WebP loses a little


def test_pictures_travel_with_their_sample(films, tmp_path):
    store = Store(tmp_path)
    store.prepare()
    store.receive(films.pack())
    assert [len(store.read_frames(record)) for record in store.records()[0]] == [3, 3]


def test_a_batch_that_continues_from_a_checkpoint_has_no_half_film(plan_of, tiny, tmp_path):
    store = Store(tmp_path)
    plan = plan_of(*tiny, *THREE, "film=true", "runtime.checkpoint_steps=1", "runtime.samples_per_batch=2")

    def stop(samples, run, iterate):
        if iterate.step == 1:
            raise UserError("stopped")

    assert generate(plan, store, watch=stop).failed
    generate(plan, store)
    assert [store.read_frames(record) for record in store.records()[0]] == [[], []]


@pytest.mark.parametrize(
    "data",
    [b"", b"no picture", b"RIFF\x10\x00\x00\x00WEBPVP8 ", None],
    ids=["empty", "text", "cut off", "too wide"],
)
def test_damaged_pictures_are_named(films, tmp_path, data):
    store = Store(shutil.copytree(films.root, tmp_path / "store"))
    record = store.records()[0][0]
    if data is None:
        buffer = io.BytesIO()
        Image.new("RGB", (300, 300)).save(buffer, "WEBP")
        data = buffer.getvalue()
    (store.root / record.folder / "frames.webp").write_bytes(data)
    with pytest.raises(UserError, match=r"frames\.webp: cannot read the pictures of the ascent \(.*\); delete the"):
        store.read_frames(record)


def test_a_film_of_an_experiment_shows_each_prompt(films, program, tmp_path):
    status, out, err = program(films.root, "--to", "film.webp")
    assert (status, out, err) == (0, "film.webp: 2 samples, 3 pictures\n", "")
    shown = pictures_in(tmp_path / "film.webp")
    assert len(shown) == 3
    # The last picture holds each image, scaled to 256 px, one below the other.
    tops = []
    for record in films.records()[0]:
        image = Image.fromarray(films.read_image(record.image)).resize((256, 256), Image.Resampling.LANCZOS)
        target, last = np.array(image), shown[-1]
        apart = {top: distance(last[top : top + 256, 8:264], target) for top in range(len(last) - 256)}
        tops.append(min(apart, key=apart.get))
        assert apart[tops[-1]] < 8
    assert tops[1] - tops[0] > 256


def test_the_side_of_the_images_can_be_chosen(films, program):
    folder = films.root / films.records()[0][0].folder
    assert program(folder, "--side", 64, "--to", "small.gif")[0] == 0
    assert pictures_in("small.gif")[0].shape[1] == 8 + 64 + 8
    with pytest.raises(SystemExit, match="2"):
        program(folder, "--side", 5)
    with pytest.raises(SystemExit, match="2"):
        program(folder, "--fps", 500)


def test_a_sample_without_pictures_is_made_again_and_they_are_kept(films, without_pictures, program, tmp_path):
    record = without_pictures.records()[0][1]
    status, out, err = program(without_pictures.root / record.folder, "runtime.device=cpu")
    assert (status, out) == (0, "film.gif: 1 sample, 3 pictures\n")
    assert err.startswith("No pictures of the ascent for 1 of 1 sample: made again from the recipe")
    kept, first = (store.root / record.folder / "frames.webp" for store in (without_pictures, films))
    assert kept.read_bytes() == first.read_bytes()
    assert len(pictures_in(tmp_path / "film.gif")) == 3
    assert program(without_pictures.root / record.folder)[2] == ""


def test_a_png_alone_is_enough(films, program, tmp_path):
    record = films.records()[0][0]
    shutil.copy(films.root / record.image, tmp_path / "mine.png")
    status, out, _ = program("mine.png", "--to", "mine.gif", "runtime.device=cpu")
    assert (status, out) == (0, "mine.gif: 1 sample, 3 pictures\n")
    assert {path.name for path in tmp_path.iterdir()} == {"mine.png", "mine.gif"}


@pytest.mark.skipif(os.name != "posix", reason="needs the folder /tmp")
def test_a_png_near_the_root_of_the_file_system_is_enough(films, program):
    with tempfile.NamedTemporaryFile(dir="/tmp", suffix=".png") as file:
        file.write((films.root / films.records()[0][0].image).read_bytes())
        file.flush()
        assert program(file.name, "runtime.device=cpu")[:2] == (0, "film.gif: 1 sample, 3 pictures\n")


def test_an_image_that_comes_out_otherwise_is_told_and_stays_the_last(films, program, tmp_path):
    from das_ag.generation.recipe import read_recipe, text_of
    from das_ag.store.files import encode_png

    recipe = read_recipe(films.root / films.records()[0][0].image)
    (tmp_path / "other.png").write_bytes(encode_png(np.full((28, 28, 3), 200, np.uint8), text_of(recipe)))
    status, _, err = program("other.png", "--to", "other.webp", "runtime.device=cpu")
    assert status == 1
    assert "the last picture is the stored image, but the ascent made another here: largest pixel difference" in err
    assert distance(pictures_in(tmp_path / "other.webp")[-1][100:200, 100:200], np.array([200])) < 2


def test_levels_are_added_from_coarse_to_fine(films, program):
    status, out, err = program(films.root, "--levels", "--to", "levels.webp")
    assert (status, out, err) == (0, "levels.webp: 2 samples, 6 pictures\n", "")  # 1, 2, 4, 8, 16, 32 px
    first, *_, last = pictures_in("levels.webp")
    assert first[60:250, 20:250].std(axis=(0, 1)).max() < 3  # one colour
    assert last[60:250, 20:250].std(axis=(0, 1)).max() > 10


def test_the_ascent_and_the_levels_have_files_of_their_own(films, program, tmp_path):
    root = shutil.copytree(films.root, tmp_path / "store")
    assert program(root)[1] == f"{root / 'film.gif'}: 2 samples, 3 pictures\n"
    assert program(root, "--levels")[1] == f"{root / 'levels.gif'}: 2 samples, 6 pictures\n"
    assert [len(pictures_in(root / name)) for name in ("film.gif", "levels.gif")] == [3, 6]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.png"], "nowhere.png: cannot read an image ("),
        (["plain.png"], "plain.png: expected a PNG with a recipe, got one without."),
        (["."], "{here}: found no experiment in this folder, expected the folder of an experiment. "),
        (["outputs/nope"], "{here}/outputs/nope: found no such folder, expected the folder of an experiment. "),
        (["empty"], "film: expected 1 to 64 samples, got 0;"),
        (["empty", "--to", "film.avi"], "film.avi: expected a name that ends in .gif, .webp, .mp4; change --to."),
        (["empty", "--to", "no/film.gif"], "no/film.gif: found no folder no; create it."),
        (["heart.png", "--levels"], "das_ag heart seed 42: found no levels of the pyramid beside the image; "),
        (["heart.png", "steps=4"], "das_ag heart seed 42: expected key "),
    ],
)
def test_what_cannot_be_shown_is_told_and_nothing_is_written(films, program, tmp_path, arguments, said):
    Image.new("RGB", (4, 4)).save("plain.png")
    Store(tmp_path / "empty").prepare()
    shutil.copy(films.root / films.records()[0][0].image, "heart.png")
    before = {*tmp_path.rglob("*")}
    status, out, err = program(*arguments)
    assert (status, out) == (1, "")
    assert err.splitlines()[-1].startswith(f"Error: {said.format(here=tmp_path.resolve())}")
    assert {*tmp_path.rglob("*")} == before


def test_a_damaged_sample_leaves_the_others_in_the_film(films, program, tmp_path):
    store = Store(shutil.copytree(films.root, tmp_path / "store"))
    broken = store.root / store.records()[0][0].image
    broken.write_bytes(broken.read_bytes()[:100])
    status, out, err = program(store.root)
    assert (status, out) == (1, f"{store.root / 'film.gif'}: 1 sample, 3 pictures\n")
    assert err.startswith(f"{broken}: the image is missing or damaged (")


def test_large_samples_are_not_made_without_a_word(without_pictures, program, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setattr("das_ag.generation.cost.PUBLISHED_VIEWS", 0.001)
    status, _, err = program(without_pictures.root)
    assert status == 1
    assert "asks for more than the published experiment; add --yes" in err


def clip_of(sample, *values, steps=200):
    frames = [np.full((16, 16, 3), value, np.uint8) for value in values]
    return ascent_clip(sample, frames, frames[-1])


def test_rows_are_prompts_and_seeds_and_columns_are_methods(sample_of):
    """The place of each sample in a film, by its red; texts are grey."""
    samples = [sample_of(method=method, seed=seed) for seed in (1, 2) for method in ("das", "das_ag")]
    reds = [np.full((16, 16, 3), (100 + place, 0, 0), np.uint8) for place in range(4)]
    (page,) = film_of([ascent_clip(sample, [red], red) for sample, red in zip(samples, reds, strict=True)])
    side = 256
    places = [np.argwhere((np.array(page) == red[0, 0]).all(axis=-1)) for red in reds]
    (top, left), (_, right), (bottom, _), _ = (tuple(place[0]) for place in places)
    assert [np.ptp(place, axis=0).tolist() for place in places] == [[side - 1, side - 1]] * 4
    assert (left, right) == (8, 8 + side + 8)
    assert bottom > top + side
    assert tuple(places[3][0]) == (bottom, right)


def test_clips_of_other_lengths_begin_and_end_together(sample_of):
    pages = film_of([
        clip_of(sample_of(method="das"), 0, 50, 100, 150, 200), clip_of(sample_of(method="das_ag"), 40, 220),
    ])  # fmt: skip
    row, columns = -100, (100, 400)
    assert [[np.array(page)[row, column, 0] for column in columns] for page in pages] == [
        [0, 40], [50, 40], [100, 40], [150, 220], [200, 220],
    ]  # fmt: skip


def test_texts_are_drawn_as_written_and_change_no_size(sample_of):
    """No formula, no error, and no image is moved by a long text."""
    plain, dollars, long, strange = (
        film_of([clip_of(sample_of(positive=(text,)), 9)])[0]
        for text in ("costs 5 or 6", "costs $5 or $6", r"$\foo$ " * 90, "a 火山 \U0001f600 \x01")
    )
    assert plain.size == dollars.size
    assert plain.width == long.width == strange.width
    assert np.abs(np.array(plain).astype(int) - np.array(dollars)).max() > 50


def test_too_many_samples_are_told(sample_of):
    with pytest.raises(UserError, match=r"^film: expected 1 to 64 samples, got 65; give "):
        film_of([clip_of(sample_of(seed=seed), 9) for seed in range(65)])


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".GIF"])
def test_a_film_loops_and_rests_on_its_last_picture(sample_of, suffix):
    pages = film_of([clip_of(sample_of(), 0, 90, 180)])
    with Image.open(io.BytesIO(encode(pages, suffix, 50))) as film:
        assert film.n_frames == 3
        assert film.info["loop"] == 0
        durations = []
        for frame in ImageSequence.Iterator(film):
            frame.load()
            durations.append(frame.info["duration"])
    assert durations == [50, 50, 1500]


FFMPEG = """#!{python}
import json, sys
pixels = sys.stdin.buffer.read()
if {fails}: sys.exit("first line\\nno encoder")
print(json.dumps([sys.argv[1:], len(pixels)]))
"""


def put_ffmpeg(folder, monkeypatch, *, fails=False):
    path = folder / "ffmpeg"
    path.write_text(FFMPEG.format(python=sys.executable, fails=fails))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_mp4_is_given_to_ffmpeg(sample_of, tmp_path, monkeypatch):
    put_ffmpeg(tmp_path, monkeypatch)
    check_target(tmp_path / "film.mp4")
    pages = film_of([clip_of(sample_of(), 0, 90, 180)])
    text = encode(pages, ".mp4", 50).decode()
    width, height = pages[0].size
    assert (width % 2, height % 2) == (0, 0)
    assert text.endswith(f", {3 * width * height * 3}]\n")
    for part in (f'"-s", "{width}x{height}", "-r", "20.0"', "stop_duration=1.5", '"-pix_fmt", "yuv420p"'):
        assert part in text
    put_ffmpeg(tmp_path, monkeypatch, fails=True)
    with pytest.raises(UserError, match=r"^ffmpeg: cannot write MP4 \(no encoder\); "):
        encode(pages, ".mp4")


def test_mp4_without_ffmpeg_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"film\.mp4: MP4 needs the program ffmpeg, found none; install it, for "):
        check_target(tmp_path / "film.mp4")


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the program ffmpeg")
def test_ffmpeg_writes_mp4(sample_of):
    assert encode(film_of([clip_of(sample_of(), 0, 90)]), ".mp4")[4:8] == b"ftyp"


def test_a_clip_is_what_it_says(sample_of):
    frames = [np.full((16, 16, 3), value, np.uint8) for value in (1, 2, 3)]
    image = np.full((28, 28, 3), 4, np.uint8)
    clip = ascent_clip(sample_of(steps=101), frames, image)
    assert isinstance(clip, Clip)
    assert clip.captions == ["step 1 of 101", "step 51 of 101", "step 101 of 101"]
    assert clip.frames[-1] is image
