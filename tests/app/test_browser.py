"""The demo as a person meets it: a real server, a real browser."""

from __future__ import annotations

import hashlib
import os
import random
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from weights_server import serve

from das_ag.generation.recipe import read_recipe
from das_ag.generation.regenerate import regenerate

ROOT = Path(__file__).parents[2]
PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def weights():
    """The server of made-up weights for one of the presets."""
    with serve(random.Random(0).randbytes(3_000_000)) as server:
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory, weights):
    """The demo in an empty folder, and its address."""
    pytest.importorskip("streamlit", reason="needs the package streamlit")
    folder = tmp_path_factory.mktemp("demo")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    streamlit = [sys.executable, Path(__file__).with_name("tiny_preset.py")]
    program = [*streamlit, "run", ROOT / "src" / "das_ag" / "app.py", "--server.port", str(port)]
    sha256 = hashlib.sha256(weights.content).hexdigest()
    served = f"{weights.url} {sha256} {len(weights.content)} {folder / 'cache'}"
    variables = {"SERVED": served, "no_proxy": "localhost,127.0.0.1", "HF_HUB_OFFLINE": "0"}
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(program, cwd=folder, stdout=log, stderr=log, env=os.environ | variables)
        try:
            _wait_for(f"http://localhost:{port}/_stcore/health", process)
            yield folder, f"http://localhost:{port}"
        finally:
            process.terminate()
            process.wait(30)  # a run that is going on does not keep it
    assert "Traceback" not in (folder / "log.txt").read_text()


def _wait_for(address, process):
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail("the server did not start")


@pytest.fixture
def visit(browser, server):
    """Opens the demo; whatever the page complains of fails the test."""
    complaints, contexts = [], []

    def visit(**options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: None if "localhost" in r.url or ":" not in r.url[:6] else _foreign(complaints, r))
        page.goto(server[1])
        button(page, "Generate").wait_for()
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []


def _foreign(complaints, request):
    if not request.url.startswith(("data:", "blob:")):
        complaints.append(request.url)


def button(page, name):
    return page.get_by_role("button", name=re.compile(rf"{name}$")).first


def set_steps(page, steps):
    page.get_by_label("Steps", exact=True).fill(str(steps))
    page.get_by_label("Steps", exact=True).press("Enter")
    page.get_by_text(f"steps={steps} ").or_(page.get_by_text(re.compile(rf"steps={steps}$"))).first.wait_for(
        state="attached"
    )


def test_from_a_prompt_to_a_history(visit, server, tmp_path):
    page = visit(viewport={"width": 1400, "height": 1000})
    page.get_by_text("As a command line").click()
    page.get_by_label("Prompt", exact=True).press_sequentially(" with unicorns")
    page.get_by_text("These models do not know").wait_for()  # while typing: the field still has the focus
    page.get_by_label("Prompt", exact=True).fill("a yellow star on a blue background")
    page.get_by_text("These models do not know").wait_for(state="detached")

    set_steps(page, 12)
    button(page, "Generate").click()
    pictures = page.get_by_role("img", name=re.compile("^Image by DAS"))
    pictures.nth(2).wait_for()  # the images appear after their heading
    assert pictures.count() == 3
    assert (
        pictures.evaluate_all("all => Promise.all(all.map(one => one.decode().then(() => one.naturalWidth)))")
        == [96] * 3
    )
    scores = page.locator(".das-scores div:first-child dd").all_inner_texts()
    assert len(scores) == 3
    assert all(re.match(r"\d+\.\d\d", score) for score in scores)
    page.get_by_role("img", name=re.compile("Similarity")).wait_for()
    page.get_by_role("tab", name="Film").click()
    page.get_by_role("img", name=re.compile("^Film of the ascent")).first.wait_for()

    with page.expect_download() as download:
        button(page, "PNG").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert regenerate(read_recipe(path)).png == path.read_bytes()

    set_steps(page, 100000)
    button(page, "Generate").click()
    page.get_by_role("img", name=re.compile("^Canvas after step")).first.wait_for()
    assert button(page, "Generate").is_disabled()
    asked = time.monotonic()
    button(page, "Stop").click()
    page.get_by_text(re.compile(r"^Unfinished: step \d+ of 100000")).first.wait_for()
    assert time.monotonic() - asked < 30

    page.get_by_role("tab", name="History").click()
    page.get_by_text("6 of 6 images").wait_for()
    assert page.get_by_text(re.compile("^Unfinished: step")).count() >= 3
    button(page, "Use settings").click()
    button(page, "Generate").wait_for()
    assert page.get_by_label("Steps", exact=True).input_value() == "100000"


def test_two_tabs_at_once(visit):
    """One makes three images while the other's long run goes on and is stopped; neither shows the other's."""
    first, second = (visit(viewport={"width": 1400, "height": 1000}) for _ in range(2))
    for page, prompt, steps in ((first, "a green ring on a black background", 100000), (second, "a red square", 5)):
        page.get_by_text("As a command line").click()
        page.get_by_label("Prompt", exact=True).fill(prompt)
        page.get_by_text(prompt).nth(0).wait_for(state="attached")
        set_steps(page, steps)
    button(first, "Generate").click()
    first.get_by_role("img", name=re.compile("^Canvas after step")).first.wait_for()
    button(second, "Generate").click()
    made = second.get_by_role("img", name=re.compile("^Image by DAS.* “a red square”"))
    made.nth(2).wait_for()  # the images appear after their heading
    assert made.count() == 3
    button(first, "Stop").click()
    stopped = first.get_by_role("img", name=re.compile("“a green ring on a black background”.* Unfinished"))
    stopped.nth(2).wait_for()
    assert (stopped.count(), made.count()) == (3, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 is no address of this machine")
def test_the_server_listens_to_this_machine_alone(server):
    """From whatever folder it was started."""
    port = int(server[1].rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):  # as it would be from another machine
        socket.create_connection(("127.0.0.2", port), timeout=5)


def luminance(colour):
    """Relative, of an opaque colour as a browser writes it.

    Source: Web Content Accessibility Guidelines 2.2, "relative luminance".
    """
    channels = [int(channel) / 255 for channel in re.fullmatch(r"rgb\((\d+), (\d+), (\d+)\)", colour).groups()]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_generate_can_be_read_while_it_is_disabled(visit, scheme):
    page = visit(viewport={"width": 1400, "height": 1000}, color_scheme=scheme)
    page.get_by_text("Deterministic mode is on").wait_for()  # the last on the page: all others have their places
    for _ in range(50):  # what is drawn above them late moves both
        boxes = [page.get_by_role("radio", name="DAS-AG").bounding_box(), button(page, "Generate").bounding_box()]
        if boxes[0]["y"] == boxes[1]["y"]:
            break
        page.wait_for_timeout(100)
    assert boxes[0]["y"] == boxes[1]["y"]
    assert boxes[0]["height"] == boxes[1]["height"]
    enabled = button(page, "Generate").evaluate("one => getComputedStyle(one).backgroundColor")
    page.get_by_text("Paper: CLIP ViT-L/14").click()
    page.locator(".st-key-generate button:disabled").first.wait_for()
    button(page, "Generate").hover()
    label, ground = button(page, "Generate").evaluate(
        "one => [getComputedStyle(one.querySelector('p')).color, getComputedStyle(one).backgroundColor]"
    )
    assert ground != enabled
    darker, lighter = sorted(map(luminance, (label, ground)))
    assert (lighter + 0.05) / (darker + 0.05) >= 3


def test_a_download_is_asked_for_and_seen_in_every_tab(visit, weights, tmp_path):
    """Screenshots of the question, the progress and the end lie in the test's folder."""
    desk, phone = (visit(viewport={"width": w, "height": h}) for w, h in ((1440, 900), (390, 844)))
    phone.get_by_test_id("stExpandSidebarButton").click()
    for page in (desk, phone):
        page.get_by_text("Served models").click()
    phone.get_by_test_id("stSidebarCollapseButton").get_by_role("button").click()

    def both_show(text, name):
        for page, size in ((desk, 1440), (phone, 390)):
            page.get_by_text(text).first.wait_for()
            page.screenshot(path=tmp_path / f"{name}_{size}.png", animations="disabled")
            assert page.evaluate("document.documentElement.scrollWidth") <= size

    both_show("Download now?", "question")
    assert weights.ranges == []
    weights.go_on.clear()
    button(desk, "Download 6.0 MB").click()
    both_show("1.5 MB of 6.0 MB", "progress")
    weights.go_on.set()
    both_show(re.compile(r"^3 images, about "), "end")
    set_steps(desk, 5)
    button(desk, "Generate").click()
    desk.get_by_role("img", name=re.compile("^Image by DAS")).nth(2).wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_and_both_themes(visit, scheme):
    page = visit(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    lightness = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor.match(/\\d+/g)[0]")
    assert (int(lightness) < 60) == (scheme == "dark")
    page.get_by_role("tab", name="History").click()
    page.get_by_role("heading", name="History").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_keyboard_is_enough(visit):
    page = visit(viewport={"width": 1400, "height": 1000})
    page.get_by_label("Prompt", exact=True).focus()
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText").strip().endswith("Generate"):
            break
    else:
        pytest.fail("Generate was not reached by Tab")
    unnamed = page.eval_on_selector_all(
        "input, button, img",
        "all => all.filter(e => e.checkVisibility() && !e.labels?.length && !e.ariaLabel && !e.innerText && "
        "!e.hasAttribute('alt') && !e.title && !e.getAttribute('aria-labelledby')).map(e => e.outerHTML)",
    )
    assert unnamed == []


def test_a_prompt_with_formulas_is_shown_as_typed(visit):
    """In the result, in the film's description, in the history and in the comparison."""
    text = r"a red ring costs $5 or $6, $\foo$ **b** :smile:"
    page = visit(viewport={"width": 1400, "height": 1000})
    page.get_by_text("As a command line").click()
    page.get_by_label("Prompt", exact=True).fill(text)
    page.get_by_text("These models do not know").wait_for()
    set_steps(page, 3)
    button(page, "Generate").click()
    page.get_by_text(f"{text} · seed 42", exact=True).wait_for()
    page.get_by_role("tab", name="Film").click()
    page.get_by_role("img", name=re.compile(f"^Film of the ascent.*{re.escape(text)}")).first.wait_for()
    page.get_by_role("tab", name="History").click()
    page.get_by_test_id("stText").get_by_text(text, exact=True).nth(2).wait_for()
    page.get_by_text("Compare", exact=True).nth(0).click()
    page.get_by_text("Choose one more image to compare.").wait_for()
    page.get_by_text("Compare", exact=True).nth(1).click()
    page.get_by_role("heading", name="Comparison").wait_for()
    assert page.get_by_test_id("stText").get_by_text(text, exact=True).count() == 3
    assert page.locator(".katex").count() == 0
