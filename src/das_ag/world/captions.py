"""Sentences about scenes, and whether a sentence is true of a scene."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Generator, Tensor

from das_ag.world.scenes import COLOURS, GROUNDS, QUALITIES, RELATIONS, SHAPES, Scenes

UNSAID = -1
_COLOUR_NAMES = tuple(COLOURS)
_SIZES = ("small", "large")
_INVERSE = {"left of": "right of", "above": "below"}
_SYNONYMS = {
    "circle": ("disc", "dot"), "ring": ("donut",), "square": ("box",), "diamond": ("rhombus",), "cross": ("plus",),
    "crescent": ("moon",), "cyan": ("turquoise",), "purple": ("violet",), "gray": ("grey",),
    "small": ("little", "tiny"), "large": ("big", "huge"), "blurred": ("blurry",), "on": ("against",),
}  # fmt: skip
_OPENINGS = ("", "", "a picture of ", "a drawing of ", "an image of ")

FIELDS = ("count", "shape_1", "colour_1", "size_1", "shape_2", "colour_2", "relation", "ground", "quality")
"""Columns of `Claims`."""
_KINDS = {"shape_1": len(SHAPES), "colour_1": len(COLOURS), "shape_2": len(SHAPES), "colour_2": len(COLOURS),
          "ground": len(GROUNDS)}  # fmt: skip

Claims = Int[Tensor, "n 9"]
"""What captions claim, one row each in the order of `FIELDS`; `UNSAID` where a caption says nothing."""


@dataclass(frozen=True)
class Captions:
    """Sentences and what each of them claims."""

    texts: list[str]
    claims: Claims


def caption_scenes(scenes: Scenes, generator: Generator) -> Captions:
    """One true sentence for each scene, saying most of what can be said."""
    truth = _facts(scenes)
    said = torch.rand(truth.shape, generator=generator)
    claims = truth.clone()
    claims[:, FIELDS.index("size_1")] = torch.where(said[:, 3] < 0.3, truth[:, 3], UNSAID)
    claims[:, FIELDS.index("relation")] = torch.where(said[:, 6] < 0.9, truth[:, 6], UNSAID)
    claims[:, FIELDS.index("ground")] = torch.where(said[:, 7] < 0.8, truth[:, 7], UNSAID)
    single = scenes.count == 1
    grounded = claims[:, FIELDS.index("ground")] != UNSAID
    no_shape, no_colour, neither = said[:, 1] < 0.14, said[:, 1] > 0.86, said[:, 1].sub(0.5).abs() < 0.03
    claims[single & (no_shape | (neither & grounded)), FIELDS.index("shape_1")] = UNSAID
    claims[single & (no_colour | (neither & grounded)), FIELDS.index("colour_1")] = UNSAID
    # One of the qualities that hold, at random; most captions name none.
    weight = scenes.qualities.float() * torch.rand(len(scenes), len(QUALITIES), generator=generator)
    best, quality = weight.max(dim=1)
    claims[:, FIELDS.index("quality")] = torch.where((said[:, 8] < 0.5) & (best > 0), quality, UNSAID)
    return Captions(say(claims, generator), claims)


def contradict(claims: Claims, generator: Generator) -> Captions:
    """A copy of each caption with one claim changed: another shape, colour or ground, or the two figures swapped."""
    changed = claims.clone()
    for row, values in enumerate(claims.tolist()):
        candidates = [name for name in _KINDS if values[FIELDS.index(name)] != UNSAID]
        if values[FIELDS.index("relation")] != UNSAID:
            candidates.append("relation")
        name = candidates[int(torch.randint(len(candidates), (1,), generator=generator))]
        if name == "relation":
            first = [FIELDS.index("shape_1"), FIELDS.index("colour_1")]
            second = [FIELDS.index("shape_2"), FIELDS.index("colour_2")]
            changed[row, first], changed[row, second] = claims[row, second], claims[row, first]
            changed[row, FIELDS.index("size_1")] = UNSAID
        else:
            column, kinds = FIELDS.index(name), _KINDS[name]
            offset = 1 + int(torch.randint(kinds - 1, (1,), generator=generator))
            changed[row, column] = (values[column] + offset) % kinds
    return Captions(say(changed, generator), changed)


def swap_figure_and_ground(claims: Claims, scenes: Scenes, generator: Generator) -> Captions:
    """A copy of each scene's caption that gives its first figure the ground's colour, and the ground the figure's.

    These are the contradictions that are learned last: the colours are there, but in each other's place.
    """
    swapped = claims.clone()
    for name, colour in (("colour_1", scenes.ground), ("ground", scenes.colour[:, 0])):
        column = FIELDS.index(name)
        swapped[:, column] = torch.where(claims[:, column] == UNSAID, UNSAID, colour)
    return Captions(say(swapped, generator), swapped)


def holds(claims: Claims, scenes: Scenes) -> Bool[Tensor, "b n"]:
    """Whether caption j (columns) is true of scene i (rows)."""
    facts = _facts(scenes)
    plain = torch.tensor([name != "quality" for name in FIELDS])
    agree = (claims[None] == UNSAID) | (claims[None] == facts[:, None])
    quality = claims[:, FIELDS.index("quality")]
    quality_holds = (quality == UNSAID)[None] | scenes.qualities[:, quality.clamp(min=0)]
    return agree[..., plain].all(dim=-1) & quality_holds


def all_shape_colour_captions() -> list[tuple[str, str, str]]:
    """Every (shape, colour, caption) of a single figure, for naming a picture out of all pairs."""
    return [(s, c, f"{_article(c)} {c} {s}") for s in SHAPES for c in COLOURS]


def vocabulary() -> tuple[str, ...]:
    """Every word that a caption may use, sorted."""
    words = {"a", "an", "shape", "background", "and", "on", *SHAPES, *COLOURS, *QUALITIES, *_SIZES}
    words |= {word for synonyms in _SYNONYMS.values() for word in synonyms}
    for phrase in (*RELATIONS, *_INVERSE.values(), *_OPENINGS):
        words |= set(phrase.split())
    return tuple(sorted(words))


def say(claims: Claims, generator: Generator) -> list[str]:
    """Puts each row of claims into words; `generator` chooses among ways to say the same."""
    choices = torch.randint(1 << 16, (claims.shape[0], 4), generator=generator).tolist()
    return [
        _vary(_sentence(dict(zip(FIELDS, row, strict=True)), choice), choice[3])
        for row, choice in zip(claims.tolist(), choices, strict=True)
    ]


def _vary(sentence: str, choice: int) -> str:
    """Replaces some words by a synonym; the bits of `choice` decide, three for each word in turn."""
    words = sentence.split()
    for place, word in enumerate(words):
        bits = choice >> (place % 12)
        if word in _SYNONYMS and bits % 8 == 0:
            synonyms = _SYNONYMS[word]
            words[place] = synonyms[(bits >> 3) % len(synonyms)]
            if place and words[place - 1] in ("a", "an"):
                words[place - 1] = _article(words[place])
    return " ".join(words)


def _sentence(claim: dict[str, int], choices: list[int]) -> str:
    quality = QUALITIES[claim["quality"]] if claim["quality"] != UNSAID else ""
    opening = _OPENINGS[choices[0] % len(_OPENINGS)]
    if quality and opening:
        opening = f"a {quality} {opening.split(' ', 1)[1]}"
        quality = ""
    size = _SIZES[claim["size_1"]] if claim["size_1"] != UNSAID else ""
    if claim["count"] == 1:
        body = _figure(claim["shape_1"], claim["colour_1"], quality, size)
    else:
        first = _figure(claim["shape_1"], claim["colour_1"], quality, size)
        second = _figure(claim["shape_2"], claim["colour_2"])
        if claim["relation"] == UNSAID:
            body = f"{first} and {second}"
        else:
            relation = RELATIONS[claim["relation"]]
            swap = not (quality or size) and choices[1] % 2
            body = f"{second} {_INVERSE[relation]} {first}" if swap else f"{first} {relation} {second}"
    if claim["ground"] == UNSAID:
        return opening + body
    ground = GROUNDS[claim["ground"]]
    ending = f" on {ground}" if choices[2] % 4 == 0 else f" on {_article(ground)} {ground} background"
    return opening + body + ending


def _figure(shape: int, colour: int, *adjectives: str) -> str:
    words = [word for word in adjectives if word]
    words += [_COLOUR_NAMES[colour]] if colour != UNSAID else []
    words += [SHAPES[shape] if shape != UNSAID else "shape"]
    return f"{_article(words[0])} {' '.join(words)}"


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _facts(scenes: Scenes) -> Claims:
    """All that is true of each scene, in the columns of `FIELDS`; the quality column is left to `Scenes.qualities`."""
    unsaid = torch.full_like(scenes.ground, UNSAID)
    size = torch.where(scenes.count == 1, scenes.size[:, 0], unsaid)
    return torch.stack(
        [scenes.count, scenes.shape[:, 0], scenes.colour[:, 0], size, scenes.shape[:, 1], scenes.colour[:, 1],
         scenes.relation, scenes.ground, unsaid],
        dim=1,
    )  # fmt: skip
