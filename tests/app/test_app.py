"""The page's logic, without a browser."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from tiny_models import TinyGuideChoice, TinyJudgeChoice

from das_ag.demo import state, words
from das_ag.demo.form import SETTINGS, Form, settings_of
from das_ag.demo.jobs import State
from das_ag.demo.presets import PRESETS
from das_ag.methods import METHODS
from das_ag.store.store import Store

ROOT = Path(__file__).parents[2]
EVIL = '<img src=x onerror="alert(1)"> **red** [heart](http://x.y) :smile: $x$ `y` ../../etc'
SMALL = {"resolution_px": 28, "views.max_shift_px": 2, "views.count": 2, "steps": 4}

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of Streamlit's own
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def app(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))  # no weights of the person's own
    testing = pytest.importorskip("streamlit.testing.v1", reason="needs the package streamlit")
    from das_ag.demo import sidebar

    monkeypatch.setattr(sidebar, "RESOLUTIONS_PX", (28, 224, 448))  # 28 for quick tests
    app = testing.AppTest.from_file(str(ROOT / "src" / "das_ag" / "app.py"), default_timeout=120)
    yield app.run()
    if "job" in app.session_state:
        app.session_state["job"].stop()
        wait(app)


@pytest.fixture
def small(app):
    for name, value in SMALL.items():
        app.session_state[name] = value
    return app.run()


def wait(app):
    end = time.monotonic() + 120
    while not app.session_state["job"].is_over:
        assert time.monotonic() < end
        time.sleep(0.05)
    return app.run()


def generate(app):
    app.button(key="generate").click()
    return wait(app.run())


def texts(app):
    return [element.value for kind in (app.html, app.caption, app.text, app.error) for element in kind]


def test_defaults_are_those_of_the_configuration(app):
    assert not app.exception
    for name, value in settings_of(PRESETS["tiny"]).items():
        if name in app.session_state:
            assert app.session_state[name] == value
    assert app.number_input(key="steps").value == 100
    assert app.selectbox(key="resolution_px").value == 96
    assert "Deterministic mode is on" in app.caption[-1].value


def test_each_setting_has_a_widget_or_comes_with_another(app):
    """What has neither would stay as a sample from the history left it, unseen."""
    kinds = (app.number_input, app.selectbox, app.toggle, app.radio, app.text_input)
    keys = {widget.key for kind in kinds for widget in kind}
    assert set(SETTINGS) - keys == set(state.WITHOUT_WIDGET)
    assert state.RESOLUTION in keys  # tells canvas_px
    shown: dict[str, object] = {}
    state.put(shown, Form("tiny", ("das",), ("a ring",), (), 7, {"runtime.deterministic": False, "betas": [0.4, 0.9]}))
    for key, value in shown.items():
        app.session_state[key] = value
    app.run()
    assert app.toggle(key="runtime.deterministic").value is False
    assert "Also set: betas = [0.4, 0.9]" in [element.value.replace("\\", "") for element in app.caption]
    assert "runtime=fast" in app.code[0].value
    app.toggle(key="runtime.deterministic").set_value(True).run()
    assert "runtime=fast" not in app.code[0].value


def test_three_methods_with_one_click(small):
    app = generate(small)
    assert not app.exception
    assert [header.value for header in app.header] == ["Result"]
    assert sum('<dl class="das-scores das-judged"' in text for text in texts(app)) == 3
    assert sum('class="das-best">highest<' in text for text in texts(app)) == 1
    records, _ = Store(Path("outputs/demo")).records()
    assert sorted(record.sample.method for record in records) == sorted(METHODS)
    generate(app)
    assert texts(app).count("Already in the store.") == 3


def test_presets_and_reset(app):
    app.number_input(key="steps").set_value(7).run()
    assert "steps=7" in app.code[0].value
    app.radio(key="preset").set_value("paper").run()
    paper = settings_of(PRESETS["paper"])
    assert app.session_state["steps"] == paper["steps"]
    assert app.session_state["randomness"] == "published"
    assert app.button(key="generate").disabled
    assert app.button(key="download").label == "Download 4.5 GB"
    app.number_input(key="steps").set_value(9).run()
    next(button for button in app.button if button.label == "Reset parameters").click().run()
    assert app.session_state["steps"] == paper["steps"]
    app.radio(key="preset").set_value("tiny").run()
    assert app.session_state["steps"] == 100
    assert not app.exception


def test_prompts_are_edited(app):
    app.text_input(key="positive 0").set_value("a red unicorn near a heart").run()
    assert any("<b>unicorn</b>, <b>near</b>" in text for text in texts(app))
    next(button for button in app.button if button.label == "Negative prompt").click().run()
    app.text_input(key="negative 1").set_value("a blue star").run()
    assert "prompts.negative=" in app.code[0].value
    app.button(key="remove negative 1").click().run()
    assert "prompts.negative=" not in app.code[0].value
    app.selectbox(key="example").set_value("yellow star").run()
    assert app.session_state["positive 2"] == "a yellow star on a blue background"
    assert app.selectbox(key="example").value is None


def test_errors_are_sentences(small):
    small.text_input(key="positive 0").set_value("unicorns").run()
    small.button(key="generate").click().run()
    told = small.error[0].value.replace("\\", "")
    assert told.startswith("Prompt: the guide knows no word of 'unicorns'")
    assert "prompts.positive" not in told
    small.text_input(key="positive 0").set_value("a red ring").run()
    assert not small.error
    assert not small.exception
    assert "job" not in small.session_state


def test_an_error_about_a_negative_prompt_goes_with_it(small):
    next(button for button in small.button if button.label == "Negative prompt").click().run()
    small.text_input(key="negative 1").set_value("unicorns").run()
    small.button(key="generate").click().run()
    assert small.error[0].value.replace("\\", "").startswith("Negative prompt: the guide knows no word")
    small.button(key="remove negative 1").click().run()
    assert not small.error


def test_without_a_prompt_nothing_can_be_generated(small):
    small.text_input(key="positive 0").set_value("  ").run()
    assert small.button(key="generate").disabled
    assert "Write a prompt, or start from an example." in texts(small)
    small.text_input(key="positive 0").set_value("a red ring").run()
    assert not small.button(key="generate").disabled
    assert "Write a prompt, or start from an example." not in texts(small)


def test_what_a_person_types_is_shown_as_typed(small):
    small.segmented_control(key="method").set_value("das").run()
    small.text_input(key="positive 0").set_value(EVIL).run()
    app = generate(small)
    app.session_state["tab"] = "History"
    app.run()
    assert not any("<img" in text for text in (element.value for element in app.html))
    assert EVIL in texts(app)
    (record,) = Store(Path("outputs/demo")).records()[0]
    assert record.sample.positive == (EVIL,)
    assert {path.name for path in Path.cwd().iterdir()} == {"outputs"}
    assert words.escaped("a*b[c](d)<e>:f:") == r"a\*b\[c\]\(d\)\<e\>\:f\:"


def test_a_random_seed_is_shown(small):
    small.segmented_control(key="method").set_value("das").run()
    small.radio(key="seed mode").set_value("random").run()
    app = generate(small)
    seed = app.session_state["job"].tracks[0].sample.seed
    assert app.number_input(key="seed").value == seed
    assert any(text.endswith(f"seed {seed}") for text in texts(app))


def test_a_surprise_fills_the_form_and_makes_its_image(small):
    small.segmented_control(key="method").set_value("das").run()
    prompt, seed = small.text_input(key="positive 0").value, small.number_input(key="seed").value
    small.button(key="surprise").click()
    app = wait(small.run())
    assert not app.exception
    (track,), (number,) = app.session_state["job"].tracks, app.session_state["positive prompts"]
    assert track.state is State.FINISHED
    assert (app.text_input(key=f"positive {number}").value,) == track.sample.positive
    assert track.sample.positive[0] in {text for text, _ in PRESETS["tiny"].examples().values()} - {prompt}
    assert app.number_input(key="seed").value == track.sample.seed != seed
    assert track.sample.settings["ascent"]["steps"] == SMALL["steps"]


def test_a_surprise_is_a_text_that_the_guide_knows():
    """Of every prompt that can be drawn, and never the one that is there."""
    imagenet = PRESETS["imagenet"]
    drawn = {imagenet.surprise(but="a volcano")[0] for _ in range(2000)}
    assert "a volcano" not in drawn
    assert len(drawn) > 50
    assert any(" and " in text for text in drawn)
    assert not imagenet.guide.without_content(list(drawn))
    assert not [text for text in drawn if imagenet.guide.lost_words(text)]
    (first, _), *_ = PRESETS["paper"].examples().values()
    assert PRESETS["paper"].surprise(but=first)[0] != first


def test_history_uses_settings_again_and_deletes(small):
    app = generate(small)
    app.session_state["tab"] = "History"
    app.session_state["steps"] = 50
    app.run()
    first = next(button for button in app.button if (button.key or "").startswith("use "))
    folder = first.key.removeprefix("use ")
    first.click().run()
    assert app.session_state["tab"] == "Create"
    assert app.session_state["steps"] == 4
    assert app.session_state["method"] in METHODS
    app.session_state["tab"] = "History"
    app.run()
    for box in app.checkbox[:2]:
        box.check()
    app.run()
    assert "method" in app.dataframe[0].value["setting"].tolist()
    app.button(key=f"delete {folder}").click().run()
    assert "2 of 2 images" in " ".join(texts(app))
    app.text_input(key="words").set_value("nothing like it").run()
    assert "0 of 2 images" in " ".join(texts(app))
    assert not app.exception


def test_history_shows_and_chooses_a_method_without_a_row(app, sample_of, put):
    store = Store(Path("outputs/demo"))
    put(store, sample_of(method="das_ag_half"), 5.0)
    put(store, sample_of(), 5.0)
    app.session_state["tab"] = "History"
    app.run()
    (methods,) = [group for group in app.button_group if group.key == "methods"]
    assert methods.options == ["DAS", "DAS-AG", "DAS-rAG", "das_ag_half"]
    assert any('<i style="background:#B0578A"></i>das_ag_half<' in text for text in texts(app))
    methods.set_value(["das_ag_half"]).run()
    assert "1 of 2 images" in " ".join(texts(app))
    next(button for button in app.button if (button.key or "").startswith("delete ")).click().run()
    assert not app.exception
    assert "of 1 images" in " ".join(texts(app))


def test_networks_are_loaded_once(small, monkeypatch):
    generate(small)
    for choice in (TinyGuideChoice, TinyJudgeChoice):
        monkeypatch.setattr(choice, "load", lambda *_: pytest.fail("loaded again"))
    small.number_input(key="seed").set_value(43)
    small.text_input(key="positive 0").set_value("a blue star").run()
    app = generate(small)
    assert not app.error
    assert {track.state for track in app.session_state["job"].tracks} == {State.FINISHED}


def test_a_stopped_run_is_in_the_history(small):
    small.number_input(key="steps").set_value(100_000).run()
    small.button(key="generate").click().run()
    job = small.session_state["job"]
    while not all(track.done for track in job.tracks):
        time.sleep(0.01)
    job.stop()
    app = wait(small)
    assert sum("Unfinished: step" in text for text in texts(app)) == 3
    app.session_state["tab"] = "History"
    app.run()
    assert "3 of 3 images" in " ".join(texts(app))
    assert sum('<dl class="das-scores"' in text for text in texts(app)) == 6  # none large: no evaluator saw them
    assert not app.exception


def test_the_app_settles_the_environment_before_torch(tmp_path):
    program = (
        "import sys, runpy\n"
        "import das_ag.settings.environment as e\n"
        "def prepare(): assert 'torch' not in sys.modules; raise SystemExit(3)\n"
        "e.prepare = prepare\n"
        f"runpy.run_path({str(ROOT / 'src' / 'das_ag' / 'app.py')!r})"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False, env={**os.environ})
    assert done.returncode == 3


def test_the_server_listens_to_this_machine_alone():
    config = tomllib.loads((ROOT / "src" / "das_ag" / ".streamlit" / "config.toml").read_text())
    assert config["server"]["address"] == "localhost"
    assert config["browser"]["gatherUsageStats"] is False
    assert config["client"]["showErrorDetails"] == "none"
