"""The table of methods, and that everything else reads it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from omegaconf import OmegaConf
from reference import ROOT

from das_ag.methods import METHODS, Method, method_of, methods_of
from das_ag.store.command import overrides_of

HALF = Method("das_ag_half", "DAS-AG ½", 1, "#123456", "*", "#234567", "#345678", "9 9")


def luma(colour):
    """By Rec. 601, as programs turn colours into grey."""
    return float(np.dot([0.299, 0.587, 0.114], to_rgb(colour)))


def test_the_three_methods():
    assert [(row.name, row.title, row.aesthetic_sign) for row in METHODS.values()] == [
        ("das", "DAS", 0),
        ("das_ag", "DAS-AG", 1),
        ("das_rag", "DAS-rAG", -1),
    ]
    assert list(METHODS) == [row.name for row in METHODS.values()]


def test_each_choice_of_the_configuration_has_its_row():
    files = sorted((ROOT / "conf" / "method").glob("*.yaml"))
    assert {path.stem for path in files} == set(METHODS)
    for path in files:
        row = METHODS[path.stem]
        assert OmegaConf.load(path) == {"name": row.name, "aesthetic_sign": row.aesthetic_sign}


def test_methods_differ_in_lightness_and_form():
    """So that they survive grey print."""
    assert np.diff(sorted(luma(method.colour) for method in METHODS.values())).min() > 0.15
    assert len({method.marker for method in METHODS.values()}) == len(METHODS)


@pytest.mark.parametrize("look", ["colour", "marker", "light", "dark", "dash"])
def test_four_methods_without_a_row_differ_from_all_others(look):
    found = methods_of([*METHODS, "d", "a", "c", "b"])
    assert [method.name for method in found] == ["das", "das_ag", "das_rag", "a", "b", "c", "d"]
    assert len({getattr(method, look) for method in found}) == 7


def test_a_method_without_a_row_goes_by_its_own_name():
    half = method_of("das_ag_half")
    assert (half.name, half.title, half.aesthetic_sign) == ("das_ag_half", "das_ag_half", None)
    assert half == methods_of(["das_rag", "das_ag_half", "das"])[2]  # the only one looks the same beside any others


def test_methods_come_once_in_the_order_of_the_table():
    found = methods_of(["b", "das_ag", "a", "das", "b", "das"])
    assert [method.name for method in found] == ["das", "das_ag", "a", "b"]
    assert methods_of([]) == []
    assert method_of("das_ag") is METHODS["das_ag"]


def test_more_methods_than_looks_are_all_there():
    names = [f"m{number}" for number in range(9)]
    assert [method.title for method in methods_of(names)] == names


def test_screens_have_their_own_colours():
    assert METHODS["das_ag"].screen_colour("light") == "#D98C00"
    assert METHODS["das_ag"].screen_colour("dark") == "#F0B13C"


def test_one_row_gives_a_method_its_look_and_its_command(monkeypatch, plan_of):
    monkeypatch.setitem(METHODS, "das_ag_half", HALF)
    assert methods_of(["other", "das_ag_half", "das"])[:2] == [METHODS["das"], HALF]
    sample = plan_of("method.name=das_ag_half", "method.aesthetic_sign=1").samples[0]
    words = overrides_of(sample)
    assert words[0] == "method=das_ag_half"
    assert not any(word.startswith("method.name=") for word in words)


@pytest.mark.parametrize(("name", "sign", "choice"), [("mine", -1, "das_rag"), ("das", 1, "das_ag")])
def test_a_name_without_a_row_of_that_sign_is_written_out(plan_of, name, sign, choice):
    sample = plan_of(f"method.name={name}", f"method.aesthetic_sign={sign}").samples[0]
    assert overrides_of(sample)[:2] == [f"method={choice}", f"method.name={name}"]


def test_a_method_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        METHODS["das"].title = "other"  # type: ignore[misc]
