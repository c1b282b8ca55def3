"""Arguments as users write them become arguments as Hydra reads them."""

from __future__ import annotations

import pytest

from das_ag.errors import UserError
from das_ag.settings.arguments import arrange, with_own_texts
from das_ag.settings.choices import plain
from das_ag.settings.configuration import compose_config
from das_ag.settings.prompts import prompts_of


def prompts(*arguments):
    config = compose_config(arrange(arguments))
    return prompts_of(plain(config.prompts), plain(config.prompt))


@pytest.mark.parametrize("name", ["mona_lisa", "tokyo_tower", "mt_fuji", "geisha"])
def test_a_published_prompt_is_the_same_as_in_a_file(tmp_path, compose, name):
    published = compose("prompts=published").prompts
    path, text = tmp_path / "prompts.txt", published.positive[name]
    path.write_text(text, encoding="utf-8")
    (given,) = prompts(f"prompt={text}", f"negative={published.negative[0]}")
    (read,) = prompts_of({"path": str(path), "negative": list(published.negative)})
    assert (given.positive, given.negative, given.id) == ((text,), tuple(published.negative), read.id)
    assert (read.positive, read.negative) == (given.positive, given.negative)


def test_the_negative_texts_of_an_experiment_stay_until_others_are_given(compose):
    published = tuple(compose("prompts=published").prompts.negative)
    for given, negative in (([], published), (["negative="], ()), (["negative=[a, b]"], ("a", "b"))):
        (prompt,) = prompts("experiment=paper", "prompt=a volcano", *given)
        assert (prompt.positive, prompt.negative) == (("a volcano",), negative)


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (" a volcano ", ("a volcano",)),
        ("a volcano, a castle", ("a volcano, a castle",)),
        ("[a] volcano [b", ("[a] volcano [b",)),
        ("[a volcano]", ("a volcano",)),
        ("[a volcano , a castle,]", ("a volcano", "a castle")),
        ('["a castle, old", \'red, it\'\'s\', "a ""b"", c"]', ("a castle, old", "red, it's", 'a "b", c')),
        ("[a dragon's lair, an owl's nest]", ("a dragon's lair", "an owl's nest")),
        ('["so" called, 5" of snow, {a: b}]', ('"so" called', '5" of snow', "{a: b}")),
        ("[null, 7, true]", ("null", "7", "true")),
        ("a\nb, [c]", ("a\nb, [c]",)),
    ],
)
def test_brackets_at_both_ends_mean_several_texts(value, texts):
    assert tuple(prompt.positive[0] for prompt in prompts(f"prompt={value}")) == texts
    assert len({prompt.id for prompt in prompts(f"prompt={value}")}) == len(texts)


def test_results_of_own_texts_have_a_folder_of_their_own():
    assert compose_config(arrange(["prompt=a volcano"])).name == "own"
    assert compose_config(arrange(["prompt=a volcano", "experiment=large"])).name == "own"
    assert compose_config(arrange(["name=mine", "prompt=a volcano"])).name == "mine"
    assert compose_config(arrange(["negative=a volcano"])).name == "wonders"


@pytest.mark.parametrize(
    ("others", "said"),
    [
        (["prompts=wonders"], "prompt: expected no other prompts beside it, got 'prompts=wonders'; leave out one"),
        (["prompts.positive={a: b}"], "prompt: expected no other prompts beside it, got 'prompts.positive={a: b}'"),
        (["+prompts.positive.a=b"], "prompt: expected no other prompts beside it, got '+prompts.positive.a=b'"),
        (["prompts.path=a.csv"], "prompt: expected no other prompts beside it, got 'prompts.path=a.csv'; leave out"),
        (["prompt=a castle"], "prompt: expected it once, got it again; for several texts write 'prompt=[a text"),
        (["negative=a", "negative=b"], "negative: expected it once, got it again; for several texts write 'neg"),
    ],
)
def test_what_cannot_stand_beside_a_text_is_told(others, said):
    with pytest.raises(UserError) as told:
        arrange(["prompt=a volcano", *others])
    assert str(told.value).startswith(said)


def test_all_other_arguments_stay():
    given = ["prompts.negative=[a, b]", "name=x", "prompts=own", "prompts.positive={a: 'x, y'}"]
    assert with_own_texts(given) == given
