"""Texts of users in figures: drawn as written, in any script, whatever the user's matplotlib settings."""

from __future__ import annotations

import itertools
import logging
import os
import subprocess
import sys
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pandas as pd
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from reference import ROOT

from das_ag.report import score_table, write_report
from das_ag.report.plots import (
    fidelity_figure,
    fooling_figure,
    images_figure,
    pyramid_figure,
    save,
    scores_figure,
    text,
    trajectories_figure,
)
from das_ag.report.traces import trace_table
from das_ag.store.store import Store

DOLLARS = ("a $$ volcano", r"costs $5 or $6, \$1 % # & \\", r"$\foo$")
ODD = "\x01 \x1b[31m \x7f \x85 \x9b \ufffe -- <&>\"'"
PYRAMID = {"canvas_px": 8, "combine": "mean", "interpolation": "bilinear", "gamut": "full"}


def figures_of(store, title):
    """All figures, with this text wherever users can place one."""
    records = store.records()[0]
    scores = score_table(records, "tiny")
    levels = [np.full((3, side, side), 1 / side, np.float32) for side in (1, 2, 4, 8)]
    yield scores_figure(scores, title)
    yield fidelity_figure(scores, title)
    yield fooling_figure(scores, title)
    yield trajectories_figure(trace_table(store, records)[0])
    yield images_figure(scores, lambda _: np.zeros((4, 4, 3), np.uint8))
    yield pyramid_figure(levels, PYRAMID, np.zeros((8, 8, 3), np.uint8), title)


def words_of(figure):
    return " ".join(" ".join(found.get_text().split()) for found in figure.findobj(Text))


def store_of(folder, sample_of, put, words):
    """Two texts of one prompt id, so that labels show them; one is negative too."""
    store = Store(folder)
    put(store, sample_of(positive=(words,), negative=(f"no {words}",)), 5.0)
    put(store, sample_of(positive=("a heart",)), 6.0)
    return store


@pytest.mark.parametrize("words", DOLLARS)
def test_dollars_are_drawn_as_written(tmp_path, sample_of, put, words):
    store = store_of(tmp_path / "store", sample_of, put, words)
    for figure in figures_of(store, words):
        save(figure, tmp_path / "figure")  # reading a formula would raise
        assert not any(found.get_parse_math() for found in figure.findobj(Text) if "$" in found.get_text())
    *_, sheet, pyramid = figures_of(store, words)
    assert words in words_of(sheet)
    assert words in words_of(pyramid)


def test_a_lone_text_in_dollars_is_as_wide_as_its_letters(tmp_path):
    """As a formula, $x$ would be one letter wide."""
    figure = scores_figure(pd.DataFrame(columns=["method", "settings", "prompt_id", "prompt", "negative", "seed",
                                                 "aesthetic_score"]), "$x$")  # fmt: skip
    (title,) = [found for found in figure.findobj(Text) if "$x$" in found.get_text()]
    figure.draw_without_rendering()
    width = title.get_window_extent().width
    title.set_text("Scores by x")
    assert width > 1.1 * title.get_window_extent().width


def test_control_characters_leave_the_svg_well_formed(tmp_path, sample_of, put):
    store = store_of(tmp_path / "store", sample_of, put, f"a {ODD} fox")
    for figure in figures_of(store, f"judge {ODD}"):
        save(figure, tmp_path / "figure")
        ET.parse(tmp_path / "figure.svg")


def test_control_characters_are_drawn_as_escapes(tmp_path, sample_of, put):
    store = store_of(tmp_path / "store", sample_of, put, "a \x01 red \x1b[31m fox")
    *_, sheet, pyramid = figures_of(store, "\x9b")
    assert r"a \u0001 red \u001b[31m fox" in words_of(sheet)
    assert r"\u009b" in words_of(pyramid)


@pytest.fixture
def fonts(monkeypatch):
    """matplotlib's list of fonts, restored afterwards; only the given files are new on this machine."""
    manager = font_manager.fontManager
    monkeypatch.setattr(manager, "ttflist", [entry for entry in manager.ttflist if entry.name.startswith("DejaVu")])

    def install(*paths):
        monkeypatch.setattr(font_manager, "findSystemFonts", lambda *_, **__: [str(path) for path in paths])
        text._fonts_for.cache_clear()

    install()
    yield install
    text._fonts_for.cache_clear()


def make_font(path, name, characters):
    """A font whose glyphs are black squares."""
    pen = TTGlyphPen(None)
    for step, point in enumerate([(0, 0), (0, 800), (800, 800), (800, 0)]):
        (pen.lineTo if step else pen.moveTo)(point)
    pen.closePath()
    square, names = pen.glyph(), [".notdef", *(f"u{ord(letter):04X}" for letter in characters)]
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(names)
    font.setupCharacterMap({ord(letter): glyph for letter, glyph in zip(characters, names[1:], strict=True)})
    font.setupGlyf(dict.fromkeys(names, square))
    font.setupHorizontalMetrics(dict.fromkeys(names, (900, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": name, "styleName": "Regular", "psName": name.replace(" ", "")})
    font.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    font.setupPost()
    font.save(path)
    return path


def test_a_font_of_the_machine_draws_what_the_usual_one_lacks(tmp_path, fonts):
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    two = make_font(tmp_path / "two.ttf", "Two Serif", "心狐")
    fonts(broken, make_font(tmp_path / "one.ttf", "One", "心"), two)
    figure = images_figure(table_of("心 a 狐"), lambda _: np.zeros((4, 4, 3), np.uint8))
    assert {tuple(found.get_fontfamily()) for found in figure.findobj(Text)} == {("DejaVu Sans", "Two Serif")}
    save(figure, tmp_path / "figure")
    assert '<use xlink:href="#TwoSerif-' in (tmp_path / "figure.svg").read_text(encoding="utf-8")
    assert text.missing_characters(frozenset("心狐a")) == ""
    assert text.missing_characters(frozenset("心狐a🦊\u200d\ufe0f\n")) == "🦊"


def test_texts_without_spaces_are_cut_and_broken_to_fit(tmp_path, fonts):
    """As those in Chinese, whose characters are twice as wide."""
    fonts(make_font(tmp_path / "han.ttf", "Han", "心狐山水"))
    prompt = "心狐山水" * 33
    scores = pd.concat([table_of(prompt).assign(method=method) for method in ("das", "das_ag", "das_rag")])
    scores = scores.assign(settings=f'prompt="{prompt[:39]}…"')
    (axes, *_) = images_figure(scores, lambda _: np.zeros((4, 4, 3), np.uint8)).axes
    assert axes.get_ylabel().replace("\n", "") == prompt[:109] + "…"
    assert max(map(len, axes.get_ylabel().splitlines())) == 10
    figure = scores_figure(scores, "judge")
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    assert boxes[0].x0 >= 0


def test_usual_texts_need_no_further_font(fonts, monkeypatch):
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda *_: pytest.fail("searched for fonts"))
    assert text.further_fonts(frozenset("a volcano, ü ≤ − λ ☃ → “”")) == []
    assert text.further_fonts(frozenset()) == []


def test_characters_without_a_font_are_told_in_one_sentence(tmp_path, sample_of, put, fonts, caplog):
    """It is no error: the run has done all that it was asked for."""
    store = store_of(tmp_path / "store", sample_of, put, "心 a 狐")
    with caplog.at_level(logging.INFO):
        _, told = write_report(store.root, "tiny")
    assert told == []
    assert caplog.messages == [
        f"{store.root / 'plots'}: no font of this machine has 心狐; install one. The figures show boxes."
    ]


def table_of(prompt):
    return pd.DataFrame([{
        "method": "das", "settings": "", "prompt_id": "heart", "prompt": prompt, "negative": "", "seed": 1,
        "aesthetic_score": 5.0, "guide_aesthetic_score": 5.0, "clip_positive": 0.2, "clip_negative": 0.0,
        "image": "0.png",
    }])  # fmt: skip


def test_settings_of_a_notebook_change_nothing(tmp_path):
    save(fidelity_figure(table_of("a $ heart"), "judge"), tmp_path / "usual")
    strange = {"figure.figsize": (1, 1), "axes.facecolor": "red", "font.size": 30, "text.usetex": True,
               "savefig.dpi": 10, "savefig.facecolor": "blue", "svg.fonttype": "none",
               "lines.markersize": 20}  # fmt: skip
    with matplotlib.rc_context(strange):
        save(fidelity_figure(table_of("a $ heart"), "judge"), tmp_path / "strange")
        assert matplotlib.rcParams["font.size"] == 30
    for suffix in ("png", "svg"):
        assert (tmp_path / f"strange.{suffix}").read_bytes() == (tmp_path / f"usual.{suffix}").read_bytes()


PROGRAM = """
import os, sys
from das_ag.report.plots import save, scores_figure
import pandas
names = ["method", "settings", "prompt_id", "prompt", "negative", "seed", "aesthetic_score"]
save(scores_figure(pandas.DataFrame(columns=names), "judge"), sys.argv[1])
print(os.environ.get("MPLBACKEND"), os.getcwd())
"""


@pytest.mark.parametrize(
    ("backend", "settings"),
    [
        ("module://matplotlib_inline.backend_inline", None),
        ("module://ipympl.backend_nbagg", None),
        ("no such backend", None),
        ("agg", b"axes.facecolor: red\ntext.usetex: True\nfigure.dpi: 10\n"),
        ("agg", "axes.facecolor: rät\n".encode("latin-1")),
        ("no such backend", b"\xff\xfe"),
    ],
)
def test_no_settings_of_matplotlib_end_or_change_a_figure(tmp_path, backend, settings):
    """Neither those that a notebook hands to its commands, nor those of a file."""
    there = tmp_path / "there"
    there.mkdir()
    if settings is not None:
        (there / "matplotlibrc").write_bytes(settings)
    command = [sys.executable, "-c", PROGRAM, str(there / "figure")]
    variables = {**os.environ, "MPLBACKEND": backend, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=there, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{backend} {there}"
    empty = pd.DataFrame(columns=["method", "settings", "prompt_id", "prompt", "negative", "seed", "aesthetic_score"])
    figure = scores_figure(empty, "judge")
    assert isinstance(figure, Figure)
    save(figure, tmp_path / "here")
    with Image.open(there / "figure.png") as found, Image.open(tmp_path / "here.png") as expected:
        np.testing.assert_array_equal(np.array(found), np.array(expected))
