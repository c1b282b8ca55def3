import dataclasses
import re

import pytest
import torch

from das_ag.world import (
    COLOURS,
    GROUNDS,
    SHAPES,
    all_shape_colour_captions,
    caption_scenes,
    contradict,
    holds,
    sample_scenes,
    swap_figure_and_ground,
)
from das_ag.world.captions import FIELDS, UNSAID, vocabulary

SAME_WORD = {
    "disc": "circle", "dot": "circle", "donut": "ring", "box": "square", "rhombus": "diamond", "plus": "cross",
    "moon": "crescent", "turquoise": "cyan", "violet": "purple", "grey": "gray", "little": "small", "tiny": "small",
    "big": "large", "huge": "large", "blurry": "blurred", "against": "on",
}  # fmt: skip
COLOUR_NAMES = tuple(COLOURS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def captioned(n, seed=0, **options):
    drawn = generator(seed)
    scenes = sample_scenes(n, drawn, **options)
    return scenes, caption_scenes(scenes, drawn), drawn


def reads_true(text, scenes, row):
    """Whether a sentence is true of a scene: a reading of its words alone, made for these tests."""
    words = " ".join(SAME_WORD.get(word, word) for word in text.split())
    opening = re.match(r"an? (?:(\w+) )?(?:picture|drawing|image) of ", words)
    qualities = {opening[1]} - {None} if opening else set()
    body = words[opening.end() :] if opening else words
    figure = r"an? ([\w ]+?)"
    pattern = rf"{figure}(?: (and|left of|right of|above|below) {figure})?(?: on (?:an? (\w+) background|(\w+)))?"
    first, relation, second, *ground = re.fullmatch(pattern, body).groups()
    if (second is not None) != (scenes.count[row] == 2):
        return False
    named = [_Figure(text.split()) for text in (first, second) if text]
    qualities |= {word for figure in named for word in figure.others if word not in ("small", "large")}
    orders = [(0,)] if second is None else [(0, 1), (1, 0)]
    return (
        any(_figures_fit(named, order, relation, scenes, row) for order in orders)
        and all(name is None or name == GROUNDS[scenes.ground[row]] for name in ground)
        and all(_quality_fits(quality, scenes, row) for quality in qualities)
    )


class _Figure:
    def __init__(self, words):
        self.shape = words[-1] if words[-1] in SHAPES else None
        assert self.shape or words[-1] == "shape", words
        self.colours = [word for word in words[:-1] if word in COLOURS]
        self.others = [word for word in words[:-1] if word not in COLOURS]


def _figures_fit(named, order, relation, scenes, row):
    for figure, place in zip(named, order, strict=True):
        if figure.shape not in (None, SHAPES[scenes.shape[row, place]]):
            return False
        if figure.colours not in ([], [COLOUR_NAMES[scenes.colour[row, place]]]):
            return False
        radius = scenes.radius[row, place].item()
        if ("small" in figure.others and radius >= 0.45) or ("large" in figure.others and radius <= 0.65):
            return False
    if relation in (None, "and"):
        return True
    (x, y), (other_x, other_y) = (scenes.centre[row, place].tolist() for place in order)
    return {"left of": x < other_x, "right of": x > other_x, "above": y > other_y, "below": y < other_y}[relation]


def _quality_fits(quality, scenes, row):
    noise, blur, shading = (values[row].item() for values in (scenes.noise, scenes.blur, scenes.shading))
    return {
        "clean": noise == blur == shading == 0,
        "noisy": noise > 0.08,
        "blurred": blur > 1.2,
        "shaded": shading > 0.25,
    }[quality]


@pytest.mark.parametrize("pair_fraction", [0.0, 0.3, 1.0])
def test_captions_are_true_of_their_scenes(pair_fraction):
    scenes, captions, _ = captioned(400, pair_fraction=pair_fraction)
    assert len(captions.texts) == 400
    assert holds(captions.claims, scenes).diagonal().all()
    assert all(reads_true(text, scenes, row) for row, text in enumerate(captions.texts))


def test_what_holds_is_what_the_words_say():
    """Of every scene, not of its own alone; the words may also be true where `holds` denies it, by another order."""
    scenes, captions, drawn = captioned(60)
    false = contradict(captions.claims, drawn)
    for sentences in (captions, false):
        table = holds(sentences.claims, scenes)
        assert table.shape == (60, 60)
        for row, column in table.nonzero().tolist():
            assert reads_true(sentences.texts[column], scenes, row), (sentences.texts[column], row)


@pytest.mark.parametrize("pair_fraction", [0.0, 1.0])
def test_contradictions_are_false_of_their_scenes(pair_fraction):
    scenes, captions, drawn = captioned(400, seed=1, pair_fraction=pair_fraction)
    false = contradict(captions.claims, drawn)
    both_alike = (scenes.shape[:, 0] == scenes.shape[:, 1]) & (scenes.colour[:, 0] == scenes.colour[:, 1])
    true = holds(false.claims, scenes).diagonal()
    assert not true[~both_alike].any()
    read = torch.tensor([reads_true(text, scenes, row) for row, text in enumerate(false.texts)])
    assert not read[~both_alike].any()


def test_swapping_two_equal_figures_stays_true():
    scenes = sample_scenes(300, generator(), pair_fraction=1.0)
    alike = dataclasses.replace(
        scenes, shape=scenes.shape[:, :1].expand(-1, 2), colour=scenes.colour[:, :1].expand(-1, 2)
    )
    drawn = generator(1)
    captions = caption_scenes(alike, drawn)
    false = contradict(captions.claims, drawn)
    swapped = (false.claims == captions.claims).all(dim=1)
    assert 10 < swapped.sum() < 150
    assert torch.equal(holds(false.claims, alike).diagonal(), swapped)


def test_a_contradiction_changes_one_thing_or_swaps_two():
    _, captions, drawn = captioned(500, seed=2)
    changed = contradict(captions.claims, drawn).claims
    for before, after in zip(captions.claims.tolist(), changed.tolist(), strict=True):
        differing = {name for name, a, b in zip(FIELDS, before, after, strict=True) if a != b} - {"size_1"}
        a, b = (dict(zip(FIELDS, claims, strict=True)) for claims in (before, after))
        single_change = len(differing) == 1
        swapped_figures = (a["shape_1"], a["colour_1"], a["shape_2"], a["colour_2"]) == (
            b["shape_2"], b["colour_2"], b["shape_1"], b["colour_1"],
        )  # fmt: skip
        assert single_change or swapped_figures
        # What a caption leaves unsaid is not claimed by its contradiction either.
        assert all(b[name] == UNSAID for name in FIELDS if a[name] == UNSAID)


def test_swapping_figure_and_ground_is_false_where_either_colour_is_said():
    scenes, captions, drawn = captioned(400, seed=6)
    swapped = swap_figure_and_ground(captions.claims, scenes, drawn)
    colour, ground = (captions.claims[:, FIELDS.index(name)] for name in ("colour_1", "ground"))
    neither = (colour == UNSAID) & (ground == UNSAID)
    assert torch.equal(holds(swapped.claims, scenes).diagonal(), neither)
    for row, text in enumerate(swapped.texts):
        assert reads_true(text, scenes, row) == neither[row], text
    both = (colour != UNSAID) & (ground != UNSAID)
    assert both.sum() > 200
    assert torch.equal(swapped.claims[both][:, FIELDS.index("colour_1")], ground[both])
    assert torch.equal(swapped.claims[both][:, FIELDS.index("ground")], colour[both])
    others = [place for place, name in enumerate(FIELDS) if name not in ("colour_1", "ground")]
    assert torch.equal(swapped.claims[:, others], captions.claims[:, others])


def test_every_word_is_in_the_vocabulary_and_every_word_of_it_occurs():
    _, captions, drawn = captioned(3000, seed=3)
    false = contradict(captions.claims, drawn)
    words = {word for text in captions.texts + false.texts for word in text.split()}
    assert words == set(vocabulary())
    assert list(vocabulary()) == sorted(set(vocabulary()))


def test_articles_agree_with_the_word_behind_them():
    _, captions, drawn = captioned(1500, seed=4)
    for text in captions.texts + contradict(captions.claims, drawn).texts:
        for article, word in re.findall(r"\b(an?) (\w+)", text):
            assert article == ("an" if word[0] in "aeiou" else "a"), text


def test_captions_are_decided_by_the_generator():
    scenes = sample_scenes(50, generator())
    a, b = caption_scenes(scenes, generator(7)), caption_scenes(scenes, generator(7))
    assert a.texts == b.texts
    assert contradict(a.claims, generator(8)).texts == contradict(b.claims, generator(8)).texts


def test_a_single_scene_can_be_captioned():
    scenes, captions, drawn = captioned(1, seed=5)
    assert holds(captions.claims, scenes).tolist() == [[True]]
    assert holds(contradict(captions.claims, drawn).claims, scenes).tolist() == [[False]]


def test_all_pairs_of_shape_and_colour():
    rows = all_shape_colour_captions()
    assert len({(shape, colour) for shape, colour, _ in rows}) == len(rows) == len(SHAPES) * len(COLOURS) == 120
    assert ("circle", "orange", "an orange circle") in rows
    assert ("arrow", "red", "a red arrow") in rows
    assert {word for _, _, text in rows for word in text.split()} <= set(vocabulary())
