"""Labels of samples: what they name, that no two are alike that should not be, and that they can be taken apart."""

from __future__ import annotations

import dataclasses

import pytest

from das_ag.report.labels import divide, in_words, labels_of, pairs_of, prompt_names, settings_order


def with_settings(sample, **settings):
    return dataclasses.replace(sample, settings=settings)


def test_one_text_for_each_prompt_is_not_named(sample_of):
    samples = [sample_of("heart", negative=("a",)), sample_of("star", negative=("b",)), sample_of("ring", seed=3)]
    assert labels_of(samples) == ["", "", ""]


def test_a_prompt_run_in_one_way_stays_with_its_like(sample_of):
    """The star has had no negative prompt, as the heart at first."""
    samples = [sample_of("heart"), sample_of("star"), sample_of("heart", negative=("a blue square",))]
    assert labels_of(samples) == ["negative=none", "negative=none", 'negative="a blue square"']


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("a photograph of " + "x" * 60 + "1",), ("a photograph of " + "x" * 60 + "2",)),
        (("a red heart", "a star"), ("a red heart | a star",)),
        (("a  heart",), ("a heart",)),
        (("none",), ()),
    ],
)
def test_different_texts_have_different_labels(sample_of, first, second):
    one, other = labels_of([sample_of(negative=first), sample_of(negative=second)])
    assert one != other
    assert max(len(one), len(other)) < 60


def test_a_text_of_more_than_forty_characters_is_cut_to_forty(sample_of):
    labels = labels_of([sample_of(negative=("x" * length,)) for length in (40, 41)])
    assert labels == [f'negative="{"x" * 40}"', f'negative="{"x" * 39}…"']


def test_texts_that_are_cut_to_the_same_are_numbered_from_one_in_their_order(sample_of):
    """Of ten, since a set of few may lie in order by chance."""
    labels = labels_of([sample_of(negative=("x" * 60 + str(digit),)) for digit in reversed(range(10))])
    assert labels == [f'negative="{"x" * 39}… ({place})"' for place in range(10, 0, -1)]


def test_a_text_that_ends_in_a_number_is_no_other_text_with_that_number(sample_of):
    texts = ["a  heart", "a heart", "a heart (1)"]  # the first two are written alike, and therefore numbered
    assert len(set(labels_of([sample_of(negative=(text,)) for text in texts]))) == 3


def test_a_setting_that_one_sample_lacks_is_a_difference(sample_of):
    sample = sample_of()
    samples = [with_settings(sample), with_settings(sample, later=None), with_settings(sample, later="null")]
    assert labels_of(samples) == ["later=–", "later=null", 'later="null"']


def test_settings_are_written_as_on_the_command_line_and_checksums_shortened(sample_of):
    sample = sample_of()
    samples = [
        with_settings(sample, flag=True, betas=[0.5, 0.9], model="ViT-L/14", digest="a" * 64),
        with_settings(sample, flag=False, betas=[0.5, 0.99], model="RN50", digest="b" * 64),
    ]
    assert labels_of(samples)[0] == "betas=[0.5, 0.9], digest=aaaaaaaa, flag=true, model=ViT-L/14"


def test_settings_have_the_names_of_the_command_line(plan_of, tiny):
    """Whatever they are called in a sample's own file; each difference that a label shows can be typed."""
    changes = (
        *("steps=7", "learning_rate=0.1", "betas=[0.5, 0.9]", "canvas_px=48", "gamut=clip_normalised", "views.count=3"),
        *("runtime.precision=bfloat16", "objective.l1=0.25", "pyramid.interpolation=nearest", "runtime=fast"),
    )
    usual, changed = (
        plan_of(*tiny, "prompts=own", "prompts.positive={a: a red heart}", *more) for more in ((), changes)
    )
    (_, label) = labels_of([usual.samples[0], changed.samples[0]])
    told = dict(pairs_of(label))
    assert told.pop("runtime.deterministic") == "false"
    assert {f"{name}={value}" for name, value in told.items()} == {*changes} - {"runtime=fast"}
    again = plan_of(*tiny, "prompts=own", "prompts.positive={a: a red heart}", *(f"{n}={v}" for n, v in told.items()))
    assert {**again.samples[0].settings, "deterministic": False} == changed.samples[0].settings


def test_letters_beyond_ascii_stand_as_they_are(sample_of):
    sample = sample_of(negative=())
    samples = [with_settings(sample, note="größer"), dataclasses.replace(sample, negative=("größer",), settings={})]
    assert labels_of(samples) == ["note=größer, negative=none", 'note=–, negative="größer"']
    assert 'note="größer, als"' in labels_of([with_settings(sample, note="größer, als"), sample])[0]


@pytest.mark.parametrize(
    "labels",
    [
        ["rate=1e-05", "rate=0.0001", "rate=0.02", "rate=0.1", "rate=1.0", "rate=10.0"],
        ["x=-10.0", "x=-2.0", "x=0.5"],
        ["p01", "p1", "p1.5", "p2", "p10", "p10-a"],
        ["", "steps=2", "objective.aesthetic.end=1.0, steps=2", "objective.aesthetic.end=5.0, steps=2", "steps=10"],
    ],
)
def test_labels_are_ordered_by_the_numbers_in_them_and_what_das_shares_first(labels):
    assert sorted(sorted(labels), key=settings_order) == labels


def test_a_label_can_be_taken_apart(sample_of):
    text = 'so, steps=3, "quoted\\" [0.5, 0.9]'
    samples = [with_settings(sample_of(positive=(text,)), betas=[0.5, 0.9], x={"y": "a, b=1"}), sample_of()]
    label = labels_of(samples)[0]
    names = [name for name, _ in pairs_of(label)]
    assert names == ["betas", "models", "objective.highlights", "steps", "x.y", "prompt"]  # the first has no objective
    assert dict(pairs_of(label))["betas"] == "[0.5, 0.9]"
    assert dict(pairs_of(label))["x.y"] == '"a, b=1"'
    settings, texts = divide(label)
    assert [name for name, _ in pairs_of(settings)] == names[:-1]
    assert texts.startswith('prompt="so, steps=3')
    assert divide("") == ("", "")


def test_the_finest_level_is_named_where_it_is_not_the_canvas(sample_of):
    sample = sample_of()

    def labels(*sizes):
        return labels_of([with_settings(sample, pyramid={"canvas_px": c, "max_level_px": m}) for c, m in sizes])

    assert labels((128, 128), (64, 64)) == ["canvas_px=128", "canvas_px=64"]
    assert labels((128, 128), (128, 64)) == ["pyramid.max_level_px=128", "pyramid.max_level_px=64"]


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("", ""),
        ("steps=20, learning_rate=0.05", "steps 20, learning rate 0.05"),
        ("objective.aesthetic.end=5.0", "aesthetic weight 5"),
        ("objective.aesthetic.start=1.05", "aesthetic start 1.05"),
        ("objective.total_variation=10.0", "total variation weight 10"),
        ("canvas_px=64, views.count=8, views.max_shift_px=4", "canvas 64 px, views 8, max shift 4 px"),
        ("betas=[0.0, 1.0]", "betas [0, 1]"),
        ('prompt="10.0 cats_px, a=b"', 'prompt "10.0 cats_px, a=b"'),
        ("models=imagenet, negative=none", "models imagenet, negative none"),
    ],
)
def test_a_label_in_words(label, words):
    assert in_words(label) == words


def test_a_short_text_of_one_prompt_is_its_name():
    named = {"a-castle-and-a-volcano-d514762d143a": "a castle and a volcano", "cat": "dog", "x": "x" * 40}
    assert prompt_names([*named.items(), *named.items()]) == named
    others = [("a", "same"), ("b", "same"), ("c", "first"), ("c", "second"), ("d", "a"), ("e", "y" * 41), ("f", "")]
    others += [("g", "two\nlines")]
    assert prompt_names(others) == {prompt_id: prompt_id for prompt_id, _ in others}
