"""The command that makes a sample again, composed as run.py composes it."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from das_ag.settings.choices import choose_guide
from das_ag.settings.configuration import compose_config
from das_ag.settings.plan import make_plan
from das_ag.store.command import command_of, overrides_of
from das_ag.store.samples import Sample

TEXTS = [
    "a red heart on a white background",
    "a \"red\" heart, by 'nobody'",
    "red {heart: [1, 2]} = (x), 50 % #1",
    "red ${heart} $HOME $(date) `date` !! \\",
    'red \\${heart} \\\\${a} \\"heart\\\\" $',
    "red, \\' ünïcödé ❤ 心 ~ * ? & | ; < >",
    "red\nheart\tagain",
    "null red",
    "red",
]


def again(sample):
    """The samples that the command asks for."""
    words = shlex.split(command_of(sample))
    assert words[:4] == ["uv", "run", "das-ag", "run"]
    return make_plan(compose_config(words[4:])).samples


def changed(sample, **changes):
    names = ("method", "prompt_id", "positive", "negative", "seed", "settings")
    return Sample(**({name: getattr(sample, name) for name in names} | changes))


@pytest.fixture(scope="module")
def sample(plan_of):
    return plan_of("prompts=own", "prompts.positive={red_heart: a red heart}").samples[0]


@pytest.mark.parametrize("method", ["das", "das_ag", "das_rag"])
def test_the_key_comes_out_the_same(plan_of, method):
    for sample in plan_of(f"method={method}", "prompts=shapes", "seeds=[0, 9223372036854775807]").samples[::5]:
        assert again(sample) == (sample,)
        assert again(sample)[0].key == sample.key


def test_every_setting_is_written_out(plan_of, tiny):
    overrides = (
        *tiny, "pyramid=all_resolutions", "pyramid.max_level_px=7", "gamut=clip_normalised", "betas=[0.1, 0.999]",
        "views.augment=false", "views.colour_shift={kind: cosine, start: 1e-8, end: 0.25, rate: 0.5}",
        "objective.l1=1e-12", "runtime.precision=bfloat16", "randomness=published",
        "method.name=mine", "method.aesthetic_sign=-1",
    )  # fmt: skip
    sample = plan_of(*overrides).samples[0]
    assert again(sample) == (sample,)


@pytest.mark.parametrize(("runtime", "deterministic"), [("deterministic", True), ("fast", False)])
def test_a_fast_sample_is_made_fast_again(plan_of, runtime, deterministic):
    sample = plan_of(f"runtime={runtime}").samples[0]
    assert sample.settings["deterministic"] is deterministic
    assert again(sample) == (sample,)


def test_a_sample_of_an_earlier_version_was_deterministic(sample):
    """Before there was a choice, settings did not say so."""
    earlier = {name: value for name, value in sample.settings.items() if name != "deterministic"}
    assert len(earlier) == len(sample.settings) - 1
    assert again(changed(sample, settings=earlier)) == (sample,)


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_is_taken_as_it_is(sample, text):
    for positive, negative in [((text,), ()), ((text, "a red heart"), (text,)), (("blue", text), ("red", text))]:
        asked = changed(sample, positive=positive, negative=negative)
        assert again(asked) == (asked,)


@pytest.mark.parametrize("prompt_id", ["a", "A.b-c_d", "null", "true", "123", "0", "inf", "1x", "a.1", "seeds"])
def test_any_name_of_a_prompt_is_taken_as_it_is(sample, prompt_id):
    asked = changed(sample, prompt_id=prompt_id)
    assert again(asked) == (asked,)


@pytest.mark.parametrize("text", TEXTS)
def test_bash_passes_the_words_on(sample, text):
    asked = changed(sample, positive=(text,))
    printed = subprocess.run(
        ["bash", "-c", command_of(asked).replace("uv run das-ag run", r"printf '%s\0'", 1)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert printed.stdout.split("\0")[:-1] == overrides_of(asked)


@pytest.mark.parametrize(
    ("extra", "guide"),
    [
        ("open_clip", {"family": "open_clip", "name": "RN50-quickgelu", "pretrained": "openai"}),
        ("open_clip", {"family": "open_clip", "name": "ViT-B-32", "pretrained": None}),
        ("paper", {"family": "hf_clip", "name": "google/siglip2-base-patch16-224"}),
        ("paper", {"family": "hf_clip", "name": ""}),
    ],
)
def test_a_clip_from_elsewhere_is_named_with_its_extra(sample, extra, guide):
    guide |= {"attention": "sdpa", "guide_dropout": False}
    command = command_of(changed(sample, settings=sample.settings | {"guide": guide}))
    assert command.startswith(f"uv run --extra {extra} das-ag run ")
    assert choose_guide(compose_config(shlex.split(command)[6:]).models).identity() == guide


def test_clip_has_its_own_options(sample):
    settings = sample.settings | {"guide": {"family": "openai_clip", "attention": "math", "guide_dropout": True}}
    command = command_of(changed(sample, settings=settings))
    assert command.startswith("uv run --extra paper das-ag run ")
    config = compose_config(shlex.split(command)[6:])
    assert config.models.family == "openai_clip"
    assert (config.models.attention, config.models.guide_dropout) == ("math", True)
