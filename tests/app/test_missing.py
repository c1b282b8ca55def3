"""Downloads of weights: nothing without a click, progress, stopping, errors, all tabs alike."""

from __future__ import annotations

import hashlib
import random
import time
from pathlib import Path

import pytest
from tiny_preset import SERVED
from weights_server import WAIT_S, serve

from das_ag.demo.downloads import Downloads
from das_ag.demo.presets import PRESETS, lack_of

ROOT = Path(__file__).parents[2]
CONTENT = random.Random(0).randbytes(3_000_000)

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of Streamlit's own
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def server(here, monkeypatch):
    """The server of a preset's made-up weights."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve(CONTENT) as server:
        sha256 = hashlib.sha256(CONTENT).hexdigest()
        monkeypatch.setenv("SERVED", f"{server.url} {sha256} {len(CONTENT)} {here / 'cache'}")
        monkeypatch.setitem(PRESETS, "served", SERVED)
        yield server


@pytest.fixture
def visit(server):
    """Opens the page; one call for each tab of a browser."""
    testing = pytest.importorskip("streamlit.testing.v1", reason="needs the package streamlit")
    import streamlit

    streamlit.cache_resource.clear()
    streamlit.cache_data.clear()
    yield lambda: testing.AppTest.from_file(str(ROOT / "src" / "das_ag" / "app.py"), default_timeout=120).run()
    streamlit.cache_resource.clear()


def until(condition):
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def choose(app, preset="served"):
    return app.radio(key="preset").set_value(preset).run()


def captions(app):
    return [element.value.replace("\\", "") for element in app.caption]


def keys(app):
    return {button.key for button in app.button}


def test_no_preset_downloads_by_itself(visit, server, monkeypatch):
    """Neither choosing a preset, nor changing its settings, nor Generate after the files were deleted."""
    monkeypatch.setattr("das_ag.models.files.download", lambda *_, **__: pytest.fail("downloads"))
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: pytest.fail("uses the network"))
    monkeypatch.setenv("HOME", str(Path.cwd()))
    app = visit()
    for preset in PRESETS:
        choose(app, preset)
        app.number_input(key="steps").set_value(3).run()
        is_ready = lack_of(PRESETS[preset].overrides) is None
        assert app.button(key="generate").disabled is not is_ready
        assert ("download" in keys(app)) is not is_ready
        assert not app.exception
    assert server.ranges == []


def test_what_a_preset_would_download_is_said_before_it_is_chosen(visit):
    app = visit()
    outlooks = dict(
        zip(PRESETS, (text.replace("\\", "") for text in app.radio(key="preset").proto.captions), strict=True)
    )
    assert (
        outlooks["imagenet"]
        == "ready, about\N{NO-BREAK SPACE}10\N{NO-BREAK SPACE}s\N{NO-BREAK SPACE}an\N{NO-BREAK SPACE}image"
    )
    assert outlooks["served"].startswith("6.0 MB to download, about")


def test_the_question_names_files_sizes_and_licences(visit):
    app = choose(visit())
    assert any(
        "needs 6.0 MB that this machine does not have. Download now?" in text.value.replace("\\", "")
        for text in app.markdown
    )
    (files,) = [text for text in captions(app) if "Made-up weights" in text]
    assert (
        files.splitlines()[0].strip()
        == f"Made-up weights · 3.0 MB · licence MIT · goes to {Path('cache', 'weights').resolve()}"
    )
    assert app.button(key="download").label == "Download 6.0 MB"


def test_a_download_in_all_tabs(visit, server):
    """It is stopped in another tab, continues where it was, and at its end the preset can generate."""
    server.go_on.clear()
    first, second = choose(visit()), choose(visit())
    first.button(key="download").click().run()
    assert server.half_sent.wait(WAIT_S)
    until(lambda: Path("cache/weights.part").is_file() and Path("cache/weights.part").stat().st_size == 1_500_000)
    second.run()
    assert {"stop download"} == keys(second) & {"download", "stop download"}
    second.button(key="stop download").click().run()
    server.go_on.set()
    until(lambda: "download" in keys(first.run()))
    assert not Path("cache/weights").exists()

    first.button(key="download").click().run()
    until(lambda: not first.run().button(key="generate").disabled)
    assert "download" not in keys(second.run())
    assert not second.button(key="generate").disabled
    assert server.ranges[0] is None
    assert server.ranges[1] != "bytes=0-"
    assert Path("cache/weights").read_bytes() == Path("cache/head").read_bytes() == CONTENT
    assert not [*first.error, *first.exception, *second.error, *second.exception]


def test_a_download_that_fails_is_one_sentence(visit, server):
    server.status = 500
    app = choose(visit())
    app.button(key="download").click().run()
    until(lambda: app.run().error)
    (error,) = app.error
    assert error.value.replace("\\", "").startswith(f"Made-up weights: cannot download {server.url} to ")
    assert "download" in keys(app)
    server.status = 200
    app.button(key="download").click().run()
    until(lambda: not app.run().button(key="generate").disabled)
    assert not app.error


def test_offline_there_is_no_button(visit, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    app = choose(visit())
    assert "The variable HF_HUB_OFFLINE forbids downloads; unset it and start the demo again." in captions(app)
    assert "download" not in keys(app)


def test_files_that_were_deleted_are_not_downloaded_by_a_run(visit, server):
    for name in ("weights", "head"):
        Path("cache").mkdir(exist_ok=True)
        Path("cache", name).write_bytes(CONTENT)
    app = choose(visit())
    assert not app.button(key="generate").disabled
    Path("cache/weights").unlink()
    app.button(key="generate").click().run()
    assert app.error[0].value.replace("\\", "") == "Made-up weights: the weights are missing; download them first."
    assert "download" in keys(app.run())
    assert server.ranges == []


def test_progress_counts_all_files(server):
    server.go_on.clear()
    downloads = Downloads()
    downloads.start(lack_of(SERVED.overrides).files)
    download = downloads.latest
    downloads.start(lack_of(SERVED.overrides).files)
    assert downloads.latest is download  # one at a time
    until(lambda: download.progress == 0.25)
    assert download.told == "1.5 MB of 6.0 MB"
    server.go_on.set()
    until(lambda: download.is_over)
    assert (download.progress, download.message) == (1.0, "")
