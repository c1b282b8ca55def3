"""The Python interface: three lines make, score and show an image."""

from __future__ import annotations

import doctest
import importlib
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import picture

import das_ag

TINY = {
    "models": "tiny",
    "evaluator": "tiny",
    "steps": 3,
    "canvas_px": 32,
    "views": {"count": 2, "max_shift_px": 2},
    "runtime": {"threads": 1, "device": "cpu"},
    "progress": False,
}
ARGUMENTS = (
    "models=tiny", "evaluator=tiny", "steps=3", "canvas_px=32", "views.count=2", "views.max_shift_px=2",
    "runtime.threads=1", "runtime.device=cpu",
)  # fmt: skip
HEART = "a red heart"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def saved(image, path):
    image.save(path)
    return Path(path).read_bytes()


def test_an_image_with_scores_and_trace():
    result = das_ag.generate(HEART, method="das_ag", seed=7, **TINY)
    assert result.image.size == (28, 28)
    assert 1 < result.scores["tiny"] < 10
    assert list(result.trace["step"]) == [0, 1, 2]
    assert (result.prompt, result.seed, result.method) == (HEART, 7, "das_ag")
    assert result.settings["views"]["count"] == 2
    assert result.path is not None
    assert result.path.is_relative_to("outputs/own/samples/das_ag")


def test_the_command_line_makes_the_same_bytes_and_finds_them(run_server, tmp_path):
    made = das_ag.generate(HEART, method="das_rag", seed=3, negative="a blue square", **TINY)
    own = tmp_path / "command"
    own.mkdir()
    texts = (f"prompt={HEART}", "negative=a blue square")
    run = run_server.start(own, *ARGUMENTS, *texts, "seeds=3", "method=das_rag")
    assert run.wait() == 0, run.said
    (image,) = own.glob("outputs/own/samples/*/*/image.png")
    assert image.read_bytes() == made.path.read_bytes()
    assert (image.parent / "trace.csv").read_bytes() == (made.path.parent / "trace.csv").read_bytes()
    found = das_ag.generate(
        HEART, method="das_rag", seed=3, negative="a blue square", store="command/outputs/own",
        callback=lambda _: pytest.fail("made again"), **TINY,
    )  # fmt: skip
    assert (found.key, found.path.resolve()) == (made.key, image)


def test_the_saved_image_has_the_bytes_of_the_store():
    result = das_ag.generate(HEART, **TINY)
    assert saved(result.image, "copy.png") == result.path.read_bytes() == result._repr_png_()
    with Image.open("copy.png") as image:
        assert "Recipe" in image.info


def test_a_finished_image_is_found_again():
    steps = []
    first = das_ag.generate(HEART, callback=steps.append, **TINY)
    again = das_ag.generate(HEART, callback=steps.append, **TINY)
    assert len(steps) == 3
    assert again.path == first.path
    assert again.scores == first.scores


def test_without_a_store_nothing_is_written(tmp_path):
    result = das_ag.generate(HEART, store=None, **TINY)
    assert result.path is None
    assert list(tmp_path.iterdir()) == []
    assert saved(result.image, "x.png") == das_ag.generate(HEART, store="here", **TINY).path.read_bytes()


def test_seeds_and_texts_give_a_list_text_by_text():
    texts = [f" {HEART} ", "a green ring"]
    results = das_ag.generate(texts, seeds=range(3, 1, -1), store=None, **TINY)
    assert [(r.prompt, r.seed) for r in results] == [
        (HEART, 3), (HEART, 2), ("a green ring", 3), ("a green ring", 2),
    ]  # fmt: skip
    (single,) = das_ag.generate(HEART, seeds=[2], store=None, **TINY)
    assert single.key == results[1].key
    np.testing.assert_array_equal(np.array(single.image), np.array(results[1].image))


def test_the_callback_sees_each_step_of_each_image():
    told = []
    runtime = {**TINY["runtime"], "samples_per_batch": 2}
    results = das_ag.generate(
        HEART, seeds=[1, 2], store=None,
        callback=lambda step: told.append((step, np.array(step.image))), **{**TINY, "runtime": runtime},
    )  # fmt: skip
    assert [(step.step, step.steps, step.seed) for step, _ in told] == [
        (s, 3, seed) for s in range(3) for seed in (1, 2)
    ]
    assert [step.losses["loss"] for step, _ in told if step.seed == 2] == pytest.approx(results[1].trace["loss"])
    np.testing.assert_array_equal(told[-1][1], np.array(results[1].image))


def test_an_image_is_drawn_only_if_asked_for(monkeypatch):
    monkeypatch.setattr("das_ag.api.generate._draw", lambda *_: pytest.fail("drawn"))
    das_ag.generate(HEART, store=None, callback=lambda step: step.losses, **TINY)


def test_an_exception_of_the_callback_ends_the_call_and_fails_no_sample():
    def stop(step):
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        das_ag.generate(HEART, callback=stop, **TINY)
    assert not list(Path("outputs/own/failures").glob("*"))
    assert das_ag.generate(HEART, **TINY).path.is_file()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"stepz": 3}, "unknown setting 'stepz'. Did you mean 'steps'?"),
        ({"views": {"cout": 3}}, "unknown setting 'views.cout'. Did you mean 'views.count'?"),
        ({"method": "dasag"}, "method: expected one of das, das_ag, das_rag, got 'dasag'"),
        ({"evaluator": "mine"}, "evaluator: expected one of aesthetic_v2_5, "),
        ({"seed": -1}, "seeds: expected whole numbers from 0"),
        ({"name": "x"}, "name: das_ag.generate has no such argument; give the folder as store="),
        ({"prompt": []}, "prompt: expected a text, got none"),
        ({"prompt": [HEART, HEART]}, "prompt: expected each text once, got 'a red heart' more than once"),
        ({"prompt": "qwertz"}, "the guide knows no word of 'qwertz'"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(wrong, sentence):
    with pytest.raises(das_ag.UserError) as caught:
        das_ag.generate(**{"prompt": HEART, "store": None, **TINY, **wrong})
    assert sentence in str(caught.value)


def test_a_sample_that_fails_is_an_error_and_the_others_stay(monkeypatch):
    import das_ag.generation.generate as generation

    optimise = generation.optimise

    def fail_at_seed_2(batch, *arguments, **options):
        if batch[0].seed == 2:
            raise das_ag.UserError("out of memory")
        return optimise(batch, *arguments, **options)

    monkeypatch.setattr(generation, "optimise", fail_at_seed_2)
    with pytest.raises(das_ag.UserError, match=r"^das a-red-heart-\w+ seed 2: out of memory$"):
        das_ag.generate(HEART, seeds=[1, 2, 3], **TINY)
    assert len([*Path("outputs/own/samples").glob("*/*/image.png")]) == 2


def test_values_of_python_become_settings():
    from das_ag.api.overrides import overrides_of

    given = {
        "a": None,
        "b": True,
        "c": {"d": (0.5, np.float64(0.25)), "e": np.int64(3)},
        "f.g": Path("/x y"),
    }
    assert [*overrides_of(given)] == ["a=null", "b=true", "c.d=[0.5, 0.25]", "c.e=3", 'f.g="/x y"']


def test_no_evaluator_gives_no_score():
    assert das_ag.generate(HEART, store=None, **{**TINY, "evaluator": None}).scores == {}


def test_torch_is_as_before():
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(mode=False)
    das_ag.generate(HEART, store=None, **TINY)
    das_ag.score(picture(1), evaluator="tiny", runtime={"threads": 1})
    assert torch.get_num_threads() == 2
    assert not torch.are_deterministic_algorithms_enabled()


def test_progress_is_a_bar_or_nothing(capfd, caplog):
    caplog.set_level(logging.WARNING)
    das_ag.generate(HEART, store=None, **{**TINY, "progress": True})
    assert "3/3" in capfd.readouterr().err
    das_ag.generate(HEART, store=None, **TINY)
    assert capfd.readouterr() == ("", "")


def test_a_process_that_has_used_a_gpu_is_told_of_determinism(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    with pytest.raises(das_ag.UserError, match="for deterministic results, got 'nothing'; set it before"):
        das_ag.generate(HEART, store=None, **TINY)


def test_scores_are_those_of_the_command(tmp_path, capsys):
    from das_ag.commands.score import main

    Image.fromarray(picture(1)).save("a.png")
    Image.fromarray(picture(2)).convert("L").convert("P").save("b.png")
    assert main(["a.png", "b.png", "--csv", "scores.csv", "evaluator=tiny", "runtime.threads=1"]) == 0
    expected = [float(line.split(",")[1]) for line in Path("scores.csv").read_text().splitlines()[1:]]
    options = {"evaluator": "tiny", "runtime": {"threads": 1}}
    with Image.open("b.png") as palette:
        assert das_ag.score(["a.png", palette], **options) == expected
    assert das_ag.score(Path("a.png"), **options) == expected[0]
    assert das_ag.score(picture(1), **options) == expected[0]
    assert das_ag.score([picture(1) / 255.0], **options) == [expected[0]]
    assert das_ag.score(tuple(np.stack([picture(1)] * 2)), **options) == [expected[0]] * 2


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (".", ".: expected a picture, got a folder; for its pictures, run das-ag score ."),
        ("missing.png", "missing.png: cannot read this picture"),
        (np.zeros((8, 8)), "got float64 (8, 8)"),
        (np.zeros((3, 8, 9)), "got float64 (3, 8, 9)"),
        (np.zeros((2, 8, 8, 3)), "got float64 (2, 8, 8, 3)"),
        (np.full((8, 8, 3), 255.0), "got float64 from 255 to 255"),
        (np.full((8, 8, 3), np.nan), "got float64 from nan to nan"),
        (Image.new("F", (8, 8)), "its numbers have 32 bits"),
    ],
)
def test_what_is_no_picture_is_said_in_a_sentence(image, sentence):
    with pytest.raises(das_ag.UserError) as caught:
        das_ag.score([image], evaluator="tiny")
    assert sentence in str(caught.value)
    with pytest.raises(das_ag.UserError):
        das_ag.score(image, evaluator="tiny")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ("generate(3)", "prompt: expected a text or a list of texts, got 3; write it in quotes."),
        ("generate('a fox', negative=[None])", "negative: expected a text or a list of texts, got None; write it in"),
        ("generate('a fox', seeds=3)", "seeds: expected several seeds, got 3; write seed=1 for one, seeds=[1, 2] for"),
        ("grid(['a.png'])", "grid: expected results of das_ag.generate, got 'a.png'."),
        ("score(None)", "image: expected an array (height, width, 3) of uint8, or of floats in 0…1, got object ()"),
        ("score([], ['imagenet', 'laion'])", "evaluator: expected one, got imagenet, laion; call das_ag.score for"),
    ],
)
def test_a_value_of_another_type_is_told_in_a_sentence(call, sentence):
    """In a process of its own, since the tests check the types of all calls."""
    program = f"import das_ag\ntry:\n das_ag.{call}\nexcept das_ag.UserError as error:\n print(error)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.startswith(sentence), done.stderr


def test_a_grid_shows_each_image_pixel_for_pixel():
    results = das_ag.generate(HEART, seeds=[1, 2, 3], store=None, **TINY)
    shown = np.array(das_ag.grid(results, columns=2))
    for result in results:
        windows = np.lib.stride_tricks.sliding_window_view(shown, (28, 28, 3))[:, :, 0]
        assert (windows == np.array(result.image)).all(axis=(2, 3, 4)).sum() == 1


def test_the_labels_of_a_grid_say_what_differs():
    from das_ag.api.grid import _labels

    results = [das_ag.generate(HEART, method=m, store=None, **TINY) for m in ("das", "das_ag")]
    scores = [f"tiny {result.scores['tiny']:.2f}" for result in results]
    assert _labels(results) == [f"DAS\n{scores[0]}", f"DAS-AG\n{scores[1]}"]
    wide = [das_ag.generate(HEART, store=None, **{**TINY, "evaluator": None, "steps": steps}) for steps in (1, 2)]
    assert _labels(wide) == ["steps 1", "steps 2"]


def test_a_grid_is_of_results():
    result = das_ag.generate(HEART, store=None, **TINY)
    assert das_ag.grid(result).tobytes() == das_ag.grid([result]).tobytes()
    with pytest.raises(das_ag.UserError, match="got none; give at least one"):
        das_ag.grid([])
    with pytest.raises(das_ag.UserError, match="expected at least one column, got 0"):
        das_ag.grid(result, columns=0)


def test_the_import_is_light():
    program = (
        "import sys, das_ag; print(das_ag.__version__, {'torch', 'numpy', 'pandas'} & {*sys.modules}, dir(das_ag))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("0.2.0 set()")
    assert "'generate'" in done.stdout


def test_every_public_name_is_documented():
    for name in das_ag.__all__:
        found = getattr(das_ag, name)
        assert isinstance(found, str) or found.__doc__.strip(), name
    with pytest.raises(AttributeError, match="no attribute 'generated'"):
        das_ag.generated  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", ["das_ag", *(f"das_ag.api.{name}" for name in ("generate", "grid", "result", "score"))]
)
def test_the_examples_of_the_documentation_run(module):
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted >= 3
    assert result.failed == 0
