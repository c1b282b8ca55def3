"""Texts for the page. User input appears literally, never as markup."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Sequence

from das_ag.demo.archive import Entry
from das_ag.generation.outlook import clock
from das_ag.methods import method_of
from das_ag.store.samples import Sample

_INVITATION = {
    "das": "The image follows the text.",
    "das_ag": "The image follows the text towards a high aesthetic score.",
    "das_rag": "The image follows the text towards a low aesthetic score.",
}
"""What each method does, by name, where its first image will be."""


def escaped(text: str) -> str:
    """Text for Streamlit's Markdown, with all markup characters escaped."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def without_option(complaint: str) -> str:
    """Replaces the option's name, which holds a prompt id, with the field's name on the page."""
    for option, field in ((r"prompts\.positive(\.[\w.-]+)?", "Prompt"), (r"prompts\.negative", "Negative prompt")):
        complaint = re.sub(rf"^{option}: ", f"{field}: ", complaint)
    return complaint


def prompt_of(sample: Sample) -> str:
    """The positive texts in one line."""
    return " / ".join(sample.positive)


def described(sample: Sample, mark: str = "") -> str:
    """Alternative text of an image, for screen readers."""
    unfinished = f" {mark}." if mark else ""
    method = method_of(sample.method).title
    return f"Image by {method} for “{prompt_of(sample)}”, seed {sample.seed}.{unfinished}"


def scores(entry: Entry, best: str | None = None) -> str:
    """HTML of an entry's numbers; the evaluator's score is first and large. Without a score, no number is large.

    Args:
        best: the mark of the best of several entries; None for the others.
    """
    numbers = [(title, f"{score:.2f}") for title, score in entry.scores.items()]
    if "guide_aesthetic_score" in entry.result:
        numbers.append(("Guide’s score", f"{entry.result['guide_aesthetic_score']:.2f}"))
    numbers.append(("Similarity", f"{entry.result['clip_positive']:.3f}"))
    if entry.sample.negative:
        numbers.append(("Similarity to the negative prompt", f"{entry.result['clip_negative']:.3f}"))
    rows = "".join(_number(name, value, best if not place else None) for place, (name, value) in enumerate(numbers))
    mark = f'<p class="das-mark">{html.escape(entry.mark)}</p>' if entry.mark else ""
    judged = " das-judged" if entry.scores else ""  # do not compare the guide's score with the evaluator's
    return f'{mark}<dl class="das-scores{judged}">{rows}</dl>'


def _number(name: str, value: str, best: str | None) -> str:
    crown = f' <span class="das-best">{html.escape(best)}</span>' if best else ""
    return f"<div><dt>{html.escape(name)}</dt><dd>{value}{crown}</dd></div>"


def heading(name: str, theme: str) -> str:
    """HTML of a method's title with its colour; `theme` is light or dark."""
    method = method_of(name)
    colour = method.screen_colour(theme)
    return f'<h3 class="das-method"><i style="background:{colour}"></i>{html.escape(method.title)}</h3>'


def invitation(theme: str) -> str:
    """HTML of an empty place for each method's image, with what the method does."""
    places = "".join(f"<div>{heading(name, theme)}<p>{told}</p></div>" for name, told in _INVITATION.items())
    return f'<div class="das-invitation">{places}</div>'


def lost(words: Sequence[str]) -> str:
    """HTML that names words which the models do not know; empty if there is none."""
    named = ", ".join(f"<b>{html.escape(word)}</b>" for word in dict.fromkeys(words))
    return f'<p class="das-lost" role="status">These models do not know: {named}</p>' if words else ""


def ago(then: float) -> str:
    """The time since then, or the date."""
    passed = time.time() - then
    return f"{clock(max(passed, 0))} ago" if passed < 43200 else time.strftime("%d %b %Y, %H:%M", time.localtime(then))
