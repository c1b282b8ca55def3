"""From the composed configuration to samples, keys and errors."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from tiny_models import GUIDE_SEED, TinyGuideChoice, TinyJudgeChoice, digest_of

from das_ag.errors import UserError
from das_ag.settings.plan import make_plan
from das_ag.store.command import overrides_of
from das_ag.synthesis.ascent import REVISION

PROMPTS = {
    "red_heart": "a red heart on a white background",
    "yellow_star": "a yellow star on a blue background",
    "green_triangle": "a green triangle on a black background",
    "purple_crescent": "a purple crescent on a yellow background",
    "white_cross": "a white cross on a red background",
    "blue_square": "a blue square on an orange background",
}
OWN = "prompts=own"

IMAGE_SETTINGS = {
    "pyramid.canvas_px": 150,
    "pyramid.levels": "all_resolutions",
    "pyramid.max_level_px": 61,
    "pyramid.combine": "sum",
    "pyramid.initial": "zeros",
    "pyramid.interpolation": "bicubic",
    "pyramid.gamut": "clip_normalised",
    "pyramid.gamut_gain": 3.5,
    "pyramid.initial_scale": 0.5,
    "views.count": 7,
    "views.max_shift_px": 7,
    "views.augment": False,
    "views.crops": 0.25,
    "views.crop_size": [0.3, 0.8],
    "views.noise.kind": "linear",
    "views.noise.start": 0.51,
    "views.noise.end": 0.21,
    "views.noise.rate": 0.041,
    "views.colour_shift.kind": "cosine",
    "views.colour_shift.start": 0.22,
    "views.colour_shift.end": 0.23,
    "views.colour_shift.rate": 0.042,
    "objective.clip": 4.5,
    "objective.aesthetic.kind": "exponential_warmup",
    "objective.aesthetic.start": 0.52,
    "objective.aesthetic.end": 2.25,
    "objective.aesthetic.rate": 0.051,
    "objective.total_variation": 9.5,
    "objective.l1": 0.53,
    "objective.highlights": 7.5,
}
"""Another valid value than the default for each setting of the groups that determine an image."""


def leaves(config: DictConfig) -> dict[str, object]:
    """Dotted name and value of each setting; lists count as one."""
    found: dict[str, object] = {}
    for name, value in OmegaConf.to_container(config, throw_on_missing=False).items():  # type: ignore[union-attr]
        if isinstance(value, dict):
            found |= {f"{name}.{inner}": item for inner, item in leaves(OmegaConf.create(value)).items()}
        else:
            found[str(name)] = value
    return found


def keys(plan):
    return [sample.key for sample in plan.samples]


def test_a_plan_is_six_samples_in_order(plan_of):
    plan = plan_of()
    assert [(s.method, s.prompt_id, s.positive, s.negative, s.seed) for s in plan.samples] == [
        ("das", prompt_id, (text,), (), 42) for prompt_id, text in PROMPTS.items()
    ]
    assert plan.folder == Path("outputs/tiny")
    assert plan.evaluators == {"tiny": TinyJudgeChoice()}


def test_all_prompts_of_a_seed_come_before_the_next_seed(plan_of):
    plan = plan_of(OWN, "prompts.positive={b: a red circle, a: [a blue ring, a ring]}", "seeds=[7,0]")
    assert [(s.seed, s.prompt_id, s.positive) for s in plan.samples] == [
        (7, "b", ("a red circle",)),
        (7, "a", ("a blue ring", "a ring")),
        (0, "b", ("a red circle",)),
        (0, "a", ("a blue ring", "a ring")),
    ]


@pytest.mark.parametrize(("method", "sign"), [("das", 0), ("das_ag", 1), ("das_rag", -1)])
def test_method_gives_the_sign_of_the_aesthetic_term(plan_of, method, sign):
    plan = plan_of(f"method={method}")
    assert plan.settings.objective.aesthetic_sign == sign
    assert {s.settings["objective"]["aesthetic_sign"] for s in plan.samples} == {sign}
    assert {s.method for s in plan.samples} == {method}


def test_key_is_the_sha256_of_canonical_json(plan_of):
    overrides = [f"{name}={value}" for name, value in IMAGE_SETTINGS.items()]
    overrides += ["method=das_ag", "steps=150", "learning_rate=0.35", "betas=[0.5,0.99]", "seeds=[3]"]
    sample = plan_of(*overrides, OWN, "prompts.positive={mine: ' a red heart, très joli '}").samples[0]
    by_hand = {
        "method": "das_ag",
        "positive": ["a red heart, très joli"],
        "negative": [],
        "seed": 3,
        "settings": {
            "pyramid": {
                "canvas_px": 150,
                "levels": "all_resolutions",
                "max_level_px": 61,
                "combine": "sum",
                "initial": "zeros",
                "interpolation": "bicubic",
                "gamut": "clip_normalised",
                "gamut_gain": 3.5,
                "initial_scale": 0.5,
            },
            "views": {
                "count": 7,
                "max_shift_px": 7,
                "noise": {"kind": "linear", "start": 0.51, "end": 0.21, "rate": 0.041},
                "colour_shift": {"kind": "cosine", "start": 0.22, "end": 0.23, "rate": 0.042},
                "augment": False,
                "crops": 0.25,
                "crop_size": [0.3, 0.8],
            },
            "objective": {
                "aesthetic": {"kind": "exponential_warmup", "start": 0.52, "end": 2.25, "rate": 0.051},
                "aesthetic_sign": 1,
                "clip": 4.5,
                "total_variation": 9.5,
                "l1": 0.53,
                "highlights": 7.5,
            },
            "ascent": {"steps": 150, "learning_rate": 0.35, "betas": [0.5, 0.99]},
            "guide": {"family": "tiny"},
            "precision": "float32",
            "deterministic": True,
            "randomness": "per_sample",
            "revision": REVISION,
            "weights": {"guide": digest_of(GUIDE_SEED)},
        },
    }
    text = json.dumps(by_hand, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert sample.key == hashlib.sha256(text.encode("utf-8")).hexdigest()
    assert sample.folder == Path("samples", "das_ag", f"mine-seed3-{sample.key[:12]}")


def test_settings_survive_json(plan_of):
    for sample in plan_of("pyramid=all_resolutions").samples:
        assert json.loads(json.dumps(sample.identity())) == sample.identity()
        again = dataclasses.replace(sample, settings=json.loads(json.dumps(sample.settings)))
        assert again.key == sample.key


@pytest.mark.parametrize(
    "override",
    [
        "steps=211",
        "learning_rate=0.37",
        "betas=[0.61,0.99]",
        "canvas_px=90",
        "gamut=clip_normalised",
        "seeds=[43]",
        "method=das_ag",
        "method=das_rag",
        "prompts.negative=[a blue ring]",
        "pyramid=all_resolutions",
        "runtime.precision=bfloat16",
        "runtime=fast",
        "randomness=published",
    ],
)
def test_key_of_each_sample_changes_with(plan_of, override):
    before, after = keys(plan_of()), keys(plan_of(override))
    assert len({*before, *after}) == 12


def test_key_changes_with_each_setting_of_pyramid_views_and_objective(compose, plan_of):
    groups = ("pyramid.", "views.", "objective.")
    assert set(IMAGE_SETTINGS) == {name for name in leaves(compose()) if name.startswith(groups)}
    found = {"default": keys(plan_of("method=das_ag"))[0]}
    for name, value in IMAGE_SETTINGS.items():
        config = compose("method=das_ag")
        OmegaConf.update(config, name, value)
        found[name] = keys(make_plan(config))[0]
    assert len(set(found.values())) == len(found)


def test_how_the_aesthetic_score_is_weighed_makes_no_other_image_of_das(plan_of):
    """Nor when it is made again from its own settings."""
    weighed = "objective.aesthetic={kind: exponential_decay, start: 1.0, end: 2.0, rate: 0.5}"
    (usual, other), (guided, other_guided) = (
        [plan_of(f"method={method}", *more).samples[0] for more in ((), (weighed,))] for method in ("das", "das_ag")
    )
    assert usual.key == other.key
    assert usual.settings["objective"]["aesthetic"] is None
    assert guided.key != other_guided.key
    assert plan_of(*overrides_of(other)).samples[0].key == usual.key


def test_key_changes_with_the_text_of_its_own_prompt_alone(plan_of):
    before = keys(plan_of(OWN, "prompts.positive={a: a red heart, b: a blue ring}"))
    other_text = keys(plan_of(OWN, "prompts.positive={a: a red circle, b: a blue ring}"))
    other_name = keys(plan_of(OWN, "prompts.positive={c: a red heart, b: a blue ring}"))
    assert before == other_name
    assert before[1] == other_text[1]
    assert before[0] != other_text[0]


def test_the_key_of_an_earlier_revision_holds_the_prompts_name(plan_of):
    (sample,) = plan_of(OWN, "prompts.positive={a: a red heart}", "seeds=[3]").samples
    now, before = (dict(sample.settings) | {"revision": revision} for revision in (5, 4))
    other = dataclasses.replace(sample, prompt_id="b")
    assert dataclasses.replace(other, settings=now).key == dataclasses.replace(sample, settings=now).key
    assert dataclasses.replace(other, settings=before).key != dataclasses.replace(sample, settings=before).key


def test_two_prompts_with_the_same_texts_would_be_the_same_image(plan_of):
    with pytest.raises(
        UserError, match=r"^prompts\.positive\.b: same texts and same seed 3 as in prompts\.positive\.a; change"
    ):
        plan_of(OWN, "prompts.positive={a: a red heart, b: a red heart}", "seeds=[3]")


def test_key_changes_with_the_weights(plan_of, monkeypatch):
    before = keys(plan_of())
    monkeypatch.setattr(TinyGuideChoice, "digests", lambda _: {"guide": "0" * 64})
    assert len({*before, *keys(plan_of())}) == 12


@pytest.mark.parametrize(
    "override",
    [
        "runtime.device=cpu",
        "runtime.samples_per_batch=1",
        "runtime.views_per_pass=3",
        "runtime.threads=3",
        "runtime.checkpoint_steps=3",
        "name=other",
        "published_figures=true",
        "dry_run=true",
        "evaluator=aesthetic_v2_5",
    ],
)
def test_keys_do_not_change_with(plan_of, override):
    assert keys(plan_of(override)) == keys(plan_of())


def test_a_whole_number_is_as_good_as_a_fraction(plan_of):
    assert keys(plan_of("learning_rate=1")) == keys(plan_of("learning_rate=1.0"))


def test_every_file_of_the_configuration_composes(compose, conf_folder):
    choices = [(path.parent.name, path.stem) for path in sorted(conf_folder.glob("*/*.yaml"))]
    assert {group for group, _ in choices} >= {"method", "prompts", "models", "pyramid", "evaluator", "runtime"}
    for group, choice in choices:
        config = compose(f"{group}={choice}")
        OmegaConf.resolve(config)
        missing = [name for name, value in leaves(config).items() if value == "???"]
        asked = {"own": ["prompts.positive"], "file": ["prompts.path"]}
        assert missing == asked.get(choice, []), (group, choice)


@pytest.mark.parametrize("group", ["method", "pyramid", "runtime"])
def test_every_choice_can_be_planned(plan_of, conf_folder, group):
    for path in sorted((conf_folder / group).glob("*.yaml")):
        assert len(plan_of(f"{group}={path.stem}").samples) == 6, path


def test_the_default_guide_knows_all_prompts_that_are_not_for_clip(plan_of, compose, conf_folder):
    names = {path.stem for path in (conf_folder / "prompts").glob("*.yaml")} - {"own", "file", "published", "laptop"}
    for name in names:
        plan = plan_of("models=imagenet", f"prompts={name}")
        assert len(plan.samples) == len(compose(f"prompts={name}").prompts.positive) > 1, name
        assert {sample.settings["guide"]["family"] for sample in plan.samples} == {"imagenet"}


def test_fast_differs_from_deterministic_in_that_alone(compose):
    deterministic, fast = (leaves(compose(f"runtime={choice}")) for choice in ("deterministic", "fast"))
    assert deterministic == leaves(compose())
    assert fast == {**deterministic, "runtime.deterministic": False}


def test_prompts_from_a_file_become_samples(plan_of, tmp_path):
    """Those with a seed of their own come last, and take none of the experiment's."""
    path = tmp_path / "prompts.csv"
    path.write_text('id,prompt,negative,seed\nb,a red circle,,7\na,"a blue ring, a ring",a star,\n', encoding="utf-8")
    plan = plan_of("prompts=file", f"prompts.path={path}", "prompts.negative=[a cross]", "seeds=[1,2]", "method=das_ag")
    assert [(s.method, s.prompt_id, s.positive, s.negative, s.seed) for s in plan.samples] == [
        ("das_ag", "a", ("a blue ring, a ring",), ("a star",), 1),
        ("das_ag", "a", ("a blue ring, a ring",), ("a star",), 2),
        ("das_ag", "b", ("a red circle",), ("a cross",), 7),
    ]
    same = plan_of(
        OWN, "prompts.positive={b: a red circle}", "prompts.negative=[a cross]", "seeds=[7]", "method=das_ag"
    )
    assert keys(same) == keys(plan)[2:]  # wherever it stands, it is the same sample


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            "a,a red circle,\nb,a blue ring,\na,a red circle,42\n",
            "{path}, line 4: same id 'a' and same seed 42 as in {path}, line 2; change its seed.",
        ),
        (
            "a,a red circle,\nb,dragon,3\n",
            "{path}, line 3: the guide knows no word of 'dragon'; use words like “a red circle on a blue background”.",
        ),
    ],
)
def test_prompts_of_a_file_that_cannot_be_planned_are_told_by_their_line(plan_of, tmp_path, rows, sentence):
    path = tmp_path / "prompts.csv"
    path.write_text(f"id,prompt,seed\n{rows}", encoding="utf-8")
    with pytest.raises(UserError) as told:
        plan_of("prompts=file", f"prompts.path={path}", "seeds=[41,42]")
    assert str(told.value) == sentence.format(path=path)


@pytest.mark.parametrize(
    ("given", "seeds"),
    [
        ("seeds=7", [7]),  # as in a job of `-m seeds=7,8`
        ("seeds=3,1,2", [3, 1, 2]),
        ("seeds=range(1,4)", [1, 2, 3]),
        ("seeds=choice(5,9)", [5, 9]),
        ("seeds=1, 2", [1, 2]),
        ("seeds=[1,2]", [1, 2]),
    ],
)
def test_seeds_need_no_brackets(plan_of, given, seeds):
    plan = plan_of(OWN, "prompts.positive={a: a red heart}", given)
    assert [sample.seed for sample in plan.samples] == seeds


def test_a_border_may_take_half_of_the_canvas(plan_of):
    assert plan_of("canvas_px=128", "views.max_shift_px=32").settings.border_px == 32


def test_seeds_that_no_prompt_takes_are_told(plan_of, tmp_path, caplog):
    path = tmp_path / "prompts.csv"
    path.write_text("prompt,seed\na red circle,7\na blue ring,8\n", encoding="utf-8")
    assert len(plan_of("prompts=file", f"prompts.path={path}").samples) == 2
    assert caplog.messages == []
    assert len(plan_of("prompts=file", f"prompts.path={path}", "seeds=[1,2]").samples) == 2
    assert caplog.messages == ["seeds: all 2 are ignored, since every prompt has its own seed"]


FOURTEEN = ("runtime.samples_per_batch=4", "seeds=[1,2]", "prompts=shape_pairs", "+prompts.positive.seventh=a red ring")
"""Seven prompts with two seeds in batches of 4, 4, 4 and 2."""


@pytest.mark.parametrize(
    ("shards", "sizes"), [(1, [14]), (2, [8, 6]), (3, [6, 4, 4]), (4, [4, 4, 4, 2]), (5, [4, 4, 4, 2, 0])]
)
def test_shards_are_whole_batches_whose_union_is_the_plan(plan_of, shards, sizes):
    whole = plan_of(*FOURTEEN)
    parts = [plan_of(*FOURTEEN, f"shards={shards}", f"shard={shard}") for shard in range(shards)]
    assert [len(part.samples) for part in parts] == sizes
    batches = [batch for part in parts for batch in part.batches]
    assert sorted(batches, key=whole.batches.index) == whole.batches
    assert [sample for batch in whole.batches for sample in batch] == list(whole.samples)


def test_shards_of_published_randomness_are_single_samples(plan_of):
    """They are made one at a time, whatever the size of batches that is asked for."""
    parts = [plan_of(*FOURTEEN, "randomness=published", "shards=3", f"shard={shard}") for shard in range(3)]
    assert [len(part.samples) for part in parts] == [5, 5, 4]
    assert {len(batch) for part in parts for batch in part.batches} == {1}


@pytest.mark.parametrize("wanted", [True, False])
def test_a_plan_knows_whether_it_is_only_to_be_told(plan_of, wanted):
    assert plan_of(f"dry_run={wanted}".lower()).dry_run is wanted
    assert plan_of().dry_run is False


def test_published_figures_do_not_stand_beside_own_texts(plan_of):
    assert plan_of("published_figures=true").published_figures is True
    plan = plan_of("published_figures=true", "prompt=[a star, a ring]")
    assert plan.published_figures is False
    assert [sample.positive for sample in plan.samples] == [("a star",), ("a ring",)]


def test_an_experiment_may_be_left_out_only_on_purpose(compose):
    assert "experiment" not in compose()


ALWAYS_THERE = (
    "betas", "canvas_px", "dry_run", "film", "gamut", "gamut_gain", "learning_rate", "method.aesthetic_sign",
    "method.name",
    "models.family", "name", "prompt", "prompts.negative", "prompts.positive", "published_figures", "randomness",
    "runtime.checkpoint_steps", "runtime.deterministic", "runtime.device", "runtime.precision",
    "runtime.samples_per_batch", "runtime.threads", "runtime.views_per_pass", "seeds", "shard", "shards",
    "steps", "output_dir", *IMAGE_SETTINGS,
)  # fmt: skip


def test_no_setting_is_missing_from_the_list_above(compose):
    found = {name for name in leaves(compose()) if not name.startswith("prompts.positive.")}
    assert found | {"prompts.positive"} == {*ALWAYS_THERE, "models.kind", "evaluator.tiny.kind"}


TERMS = {"objective.total_variation", "objective.l1", "objective.highlights"}
"""Those that are not listed are not measured."""


@pytest.mark.parametrize("name", [name for name in ALWAYS_THERE if name not in TERMS])
def test_every_setting_is_read(compose, name):
    """What nothing reads could be taken away unnoticed."""
    config = compose()
    group, _, leaf = name.rpartition(".")
    OmegaConf.set_struct(config, value=False)
    del (OmegaConf.select(config, group) if group else config)[leaf]
    with pytest.raises(UserError, match=r"expected|not found") as error:
        make_plan(config)
    assert leaf in str(error.value)


@pytest.mark.parametrize("name", sorted(TERMS))
def test_a_term_that_is_not_listed_is_neither_measured_nor_recorded(compose, name):
    config, leaf = compose(), name.removeprefix("objective.")
    OmegaConf.set_struct(config, value=False)
    del config.objective[leaf]
    plan = make_plan(config)
    assert {f"objective.{term}" for term in plan.settings.objective.others} == TERMS - {name}
    assert leaf not in plan.samples[0].settings["objective"]


@dataclasses.dataclass(frozen=True)
class HalfAGuide:
    """Has the options of a guide and nothing else."""

    family: str


ERRORS = [
    # overrides, what the sentence says
    (["steps=0"], ["steps: ", "at least 1", "got 0", "published value"]),
    (["steps=-3"], ["steps: ", "at least 1", "got -3"]),
    (["steps=abc"], ["steps: ", "a whole number", "got 'abc'", "--cfg job"]),
    (["steps=true"], ["steps: ", "a whole number", "got True"]),
    (["steps=2.5"], ["steps: ", "a whole number", "got 2.5"]),
    (["steps=null"], ["steps: ", "a whole number", "got None"]),
    (["learning_rate=0"], ["learning_rate: ", "above 0", "got 0.0", "published value"]),
    (["learning_rate=-0.1"], ["learning_rate: ", "got -0.1"]),
    (["learning_rate=nan"], ["learning_rate: ", "got nan"]),
    (["learning_rate=inf"], ["learning_rate: ", "got inf"]),
    (["learning_rate=1e39"], ["learning_rate: ", "got 1e+39"]),  # more than a float32 can hold
    (["learning_rate=1" + "0" * 309], ["learning_rate: ", "a number", "got 1000"]),  # more than a float64 can hold
    (["learning_rate=true"], ["learning_rate: ", "a number", "got True"]),
    (["betas=[0.5]"], ["betas: ", "2 values in brackets", "got [0.5]"]),
    (["betas=[0.5,1]"], ["betas: ", "below 1", "got (0.5, 1.0)"]),
    (["seeds=[]"], ["seeds: ", "at least one whole number", "got none", "seeds=42"]),
    (["seeds=one,two"], ["seeds: ", "whole numbers", "got 'one'", "seeds=1,2,3"]),
    (["seeds=null"], ["seeds: ", "whole numbers", "got None", "seeds=1,2,3"]),
    (["seeds=range(0,1000000000000)"], ["seeds: ", "at most 100,000 values", "got more", "shorten the range"]),
    (["steps=range(1,1000000000000)"], ["steps: ", "at most 100,000 values", "got more", "shorten the range"]),
    (["seeds=[1,2,1]"], ["seeds: ", "each seed once", "got 1 more than once", "remove the repeats"]),
    (["seeds=[-1]"], ["seeds: ", "from 0", "got -1", "seeds=1,2,3"]),
    (["seeds=[1.5]"], ["seeds: ", "whole numbers", "got 1.5"]),
    (["seeds=[true]"], ["seeds: ", "whole numbers", "got True"]),
    (["seeds=[one]"], ["seeds: ", "whole numbers", "got 'one'"]),
    (["seeds=[9223372036854775808]"], ["seeds: ", "from 0 to 2**63 - 1", "got 9223372036854775808"]),
    (
        ["evaluator=null"],
        ["evaluator: ", "one of aesthetic_v2_5, clip_score, imagenet, laion", "got null", "choose one of them"],
    ),
    (
        ["models=null"],
        ["models: ", "one of hf_clip, imagenet, open_clip, openai_clip", "got null", "choose one of them"],
    ),
    (
        ["evaluator=[tiny, 3]"],
        ["evaluator: ", "one of aesthetic_v2_5, clip_score, imagenet, laion", "got 3", "choose one of them"],
    ),
    (["+experiment=true"], ["experiment: ", "one of laptop, large, paper", "got true", "choose one of them"]),
    (["runtime=-1.5e3"], ["runtime: ", "one of deterministic, fast", "got -1.5e3", "choose one of them"]),
    (
        ["models@models=NULL"],
        ["models: ", "one of hf_clip, imagenet, open_clip, openai_clip", "got NULL", "choose one of them"],
    ),
    ([OWN], ["prompts.positive: ", "got none", "command line"]),
    ([OWN, "prompts.positive={}"], ["prompts.positive: ", "values in the braces", "got none", "leave this"]),
    ([OWN, "prompts.positive=a red circle"], ["prompts.positive: ", "named prompts", "got 'a red circle'"]),
    ([OWN, "prompts.positive={mine: ''}"], ["prompts.positive.mine: ", "a text", "got ''", "write one"]),
    ([OWN, "prompts.positive={mine: '  '}"], ["prompts.positive.mine: ", "a text", "got '  '"]),
    ([OWN, "prompts.positive={mine: null}"], ["prompts.positive.mine: ", "a text", "got None"]),
    ([OWN, "prompts.positive={mine: []}"], ["prompts.positive.mine: ", "a text", "got []"]),
    ([OWN, "prompts.positive={mine: 7}"], ["prompts.positive.mine: ", "a text", "got 7"]),
    ([OWN, "prompts.positive={a/b: a red circle}"], ["prompts.positive: ", "a short name", "got 'a/b'", "rename"]),
    ([OWN, "prompts.positive={mine: dragon}"], ["mine: ", "knows no word", "'dragon'", "a red circle"]),
    ([OWN, "prompts.positive={mine: a dragon on the}"], ["mine: ", "knows no word", "'a dragon on the'"]),
    ([OWN, "prompts.positive={mine: [a ring, dragon]}"], ["mine: ", "knows no word", "'dragon'"]),
    (["prompts.negative=['']"], ["prompts.negative: ", "a text", "got ''"]),
    (["prompts.negative=[dragon]"], ["prompts.negative: ", "knows no word", "'dragon'"]),
    (["pyramid.max_level_px=129"], ["pyramid.max_level_px: ", "canvas size 128", "got 129", "lower it", "canvas_px"]),
    (["pyramid.max_level_px=0"], ["pyramid.max_level_px: ", "from 1", "got 0"]),
    (["pyramid.levels=all"], ["pyramid.levels: ", "powers_of_two, all_resolutions", "got 'all'", "choose"]),
    (["pyramid.interpolation=sinc"], ["pyramid.interpolation: ", "bilinear", "got 'sinc'", "choose"]),
    (["canvas_px=0"], ["canvas_px: ", "at least 1", "got 0", "raise it"]),
    (
        ["views.max_shift_px=64"],
        ["views.max_shift_px: ", "64 px on each side of a canvas of 128 px", "an image of 0 px", "lower it"],
    ),
    (["views.max_shift_px=60"], ["views.max_shift_px: ", "60 px on each side", "an image of 8 px", "at least 64 px"]),
    (["views.max_shift_px=33"], ["views.max_shift_px: ", "an image of 62 px", "expected at least 64 px"]),
    (["canvas_px=9", "views.max_shift_px=1"], ["views.max_shift_px: ", "an image of 7 px", "at least 8 px"]),
    (["steps=99999999999999999999999"], ["steps: ", "at most 1,000,000", "got 99,999,999", "lower it"]),
    (["steps=" + 5000 * "9"], ["steps: ", "at most 4,000 digits", "got more"]),
    (["canvas_px=20000"], ["canvas_px: ", "at most 8,192", "got 20,000", "lower it"]),
    (["views.count=10001"], ["views.count: ", "at most 10,000", "got 10,001"]),
    (["runtime.threads=1000000000000"], ["runtime.threads: ", "at most 1,024", "got 1,000,000,000,000"]),
    (["runtime.samples_per_batch=100000"], ["runtime.samples_per_batch: ", "at most 65,536", "got 100,000"]),
    (["runtime.views_per_pass=1000001"], ["runtime.views_per_pass: ", "at most 1,000,000", "got 1,000,001"]),
    (["views.max_shift_px=-1"], ["views.max_shift_px: ", "at least 0", "got -1"]),
    (["views.count=0"], ["views.count: ", "at least 1", "got 0"]),
    (["views.augment=1"], ["views.augment: ", "true or false", "got 1"]),
    (["views.noise=3"], ["views.noise: ", "a group of settings", "got 3", "--cfg job"]),
    (["views.noise.start=-1"], ["views.noise: ", "at least 0", "-1", "raise"]),
    (["views.noise.kind=steps"], ["views.noise", "linear", "got 'steps'", "choose"]),
    (["views.colour_shift.rate=1.5"], ["views.colour_shift", "rate", "got 1.5"]),
    (["objective.aesthetic.kind=no"], ["objective.aesthetic", "linear", "got 'no'", "choose"]),
    (["objective.aesthetic.end=-1"], ["objective.aesthetic: ", "at least 0", "-1", "method sets the sign"]),
    (["objective.clip=-1"], ["objective.clip: ", "at least 0", "got -1", "change it"]),
    (["objective=null"], ["objective: ", "a group of settings", "got None", "--cfg job"]),
    (["objective=3"], ["objective: ", "a group of settings", "got 3", "--cfg job"]),
    (["objective.l1=inf"], ["objective.l1: ", "got inf"]),
    (["method.aesthetic_sign=2"], ["aesthetic_sign: ", "-1, 0 or 1", "got 2", "choose a method"]),
    (["method.name=../das"], ["method.name: ", "got '../das'"]),
    (
        ["~models.kind", "models.family=other"],
        ["models.family: ", "hf_clip, imagenet, open_clip, openai_clip", "got 'other'", "choose"],
    ),
    (
        ["~models.kind", "models.family=[tiny]"],
        ["models.family: ", "hf_clip, imagenet, open_clip, openai_clip", "got ['tiny']"],
    ),
    (["+evaluator.other={}"], ["evaluator: ", "aesthetic_v2_5, clip_score, imagenet, laion", "got 'other'", "choose"]),
    (["models.kind=Guide"], ["models.kind: ", "the dotted name of a class", "got 'Guide'", "module.Class"]),
    (
        ["models.kind=nowhere.Guide"],
        ["models.kind: ", "cannot import nowhere (“No module named 'nowhere'”)", "PYTHONPATH"],
    ),
    (["models.kind=tiny_models.Guide"], ["models.kind: ", "a dataclass Guide in tiny_models, found none"]),
    (["models.kind=tiny_models.TinyNetwork"], ["models.kind: ", "a dataclass TinyNetwork in tiny_models, found none"]),
    (
        ["models.kind=test_plan.HalfAGuide"],
        ["models.kind: ", "das_ag.models.registry.GuideChoice, got test_plan.HalfAGuide", "base class"],
    ),
    (["evaluator.tiny.kind=null"], ["evaluator.tiny.kind: ", "the dotted name of a class", "got 'None'"]),
    (["evaluator.tiny.kind=tiny_models.TinyWords"], ["evaluator.tiny.kind: ", "a dataclass TinyWords in tiny_models"]),
    (["~evaluator.tiny"], ["evaluator: ", "aesthetic_v2_5, clip_score, imagenet, laion", "got {}", "choose"]),
    (["+evaluator.tiny.size=3"], ["evaluator.tiny: ", "unknown setting 'size'", "--cfg job"]),
    (
        ["evaluator=aesthetic_v2_5", "evaluator.aesthetic_v2_5.attention=fast"],
        ["evaluator.aesthetic_v2_5.attention: ", "sdpa, math, flash_attn", "got 'fast'"],
    ),
    (
        ["evaluator=aesthetic_v2_5", "evaluator.aesthetic_v2_5.precision=float16"],
        ["precision: ", "or bfloat16"],
    ),
    (["models=openai_clip", "models.attention=fast"], ["models.attention: ", "sdpa, math, flash_attn", "got 'fast'"]),
    (
        ["models=openai_clip", "models.attention=flash_attn", "runtime.device=cpu"],
        ["models.attention: ", "CUDA device", "got cpu", "models.attention=sdpa"],
    ),
    (
        ["models=openai_clip", "models.path=null", "models.name=ViT-Z/1"],
        ["models.name: ", "RN50, ", "ViT-L/14, ", "got 'ViT-Z/1'", "models.path"],
    ),
    (["models=openai_clip", "models.guide_dropout=1"], ["models.guide_dropout: ", "true or false", "got 1"]),
    (["models=openai_clip", "models.path=3"], ["models.path: ", "a string", "got 3"]),
    (["randomness=free"], ["randomness: ", "per_sample, published", "got 'free'", "choose"]),
    (["published_figures=1"], ["published_figures: ", "true or false", "got 1"]),
    (["runtime.precision=float16"], ["runtime.precision: ", "got 'float16'", "CLIP overflows", "bfloat16"]),
    (["runtime.precision=half"], ["runtime.precision: ", "float32 or bfloat16", "got 'half'"]),
    (["runtime.views_per_pass=0"], ["runtime.views_per_pass: ", "at least 1", "got 0", "memory"]),
    (["runtime.device=tpu"], ["runtime.device: ", "auto, cpu, cuda, mps", "got 'tpu'", "choose"]),
    (["runtime.threads=0"], ["runtime.threads: ", "at least 1", "got 0", "null uses one thread for each core"]),
    (["runtime.threads=-1"], ["runtime.threads: ", "at least 1", "got -1"]),
    (["runtime.threads=1.5"], ["runtime.threads: ", "a whole number", "got 1.5"]),
    (["runtime.threads=auto"], ["runtime.threads: ", "a whole number", "got 'auto'"]),
    (["runtime.checkpoint_steps=-1"], ["runtime.checkpoint_steps: ", "at least 0", "got -1", "0 keeps no checkpoints"]),
    (["runtime.checkpoint_steps=null"], ["runtime.checkpoint_steps: ", "a whole number", "got None"]),
    (["runtime.deterministic=1"], ["runtime.deterministic: ", "true or false", "got 1"]),
    (["shards=0"], ["shards: ", "at least 1", "got 0", "1 makes all samples"]),
    (["shards=true"], ["shards: ", "a whole number", "got True"]),
    (["shards=2.0"], ["shards: ", "a whole number", "got 2.0"]),
    (["shard=1"], ["shard: ", "from 0 to 0 with shards=1", "got 1", "run all shards with -m shard=0."]),
    (["shard=3", "shards=3"], ["shard: ", "from 0 to 2 with shards=3", "got 3", "-m shard=0,1,2."]),
    (["shard=-1", "shards=5"], ["shard: ", "from 0 to 4 with shards=5", "got -1", "-m shard=0,1,2,3,…."]),
    (["shard=true", "shards=2"], ["shard: ", "a whole number", "got True"]),
    (["shard=0.0"], ["shard: ", "a whole number", "got 0.0"]),
    (["dry_run=1"], ["dry_run: ", "true or false", "got 1"]),
    (["film=1"], ["film: ", "true or false", "got 1"]),
    (["prompts=file"], ["prompts.path: ", "expected a value", "got none", "command line"]),
    (["prompts=file", "prompts.path=nowhere.csv"], ["prompts.path: ", "cannot read 'nowhere.csv'"]),
    (
        ["prompts=file", "prompts.path=x.csv", "+prompts.positive={a: a ring}"],
        ["prompts: ", "path, negative", "positive"],
    ),
    (["runtime.samples_per_batch=0"], ["runtime.samples_per_batch: ", "at least 1", "got 0", "memory"]),
    (["name=../x"], ["name: ", "letters, digits", "got '../x'", "rename it"]),
    (["name=a/b"], ["name: ", "letters, digits", "got 'a/b'"]),
    (["name=''"], ["name: ", "letters, digits", "got ''"]),
    (["name=.."], ["name: ", "letters, digits", "got '..'"]),
    (["name=7"], ["name: ", "letters, digits", "got 7"]),
    (["output_dir=''"], ["output_dir: ", "the path of a folder", "got ''"]),
    (["models=embedded"], ["models: ", "got 'embedded'; its successor is models=imagenet."]),
    (["output_dir=7"], ["output_dir: ", "the path of a folder", "got 7"]),
    (["+views.shape=1"], ["views: ", "count, max_shift_px", "unknown setting 'shape'", "--cfg job"]),
    (["+runtime.cores=1"], ["runtime: ", "device, precision, threads, samples_per_batch", "unknown setting 'cores'"]),
    (["+method.strength=1"], ["method", "strength"]),
    (["+prompts.neutral=[a ring]"], ["prompts", "neutral"]),
    (["+number_of_steps=1"], ["number_of_steps"]),
    (["~views.count"], ["views: ", "missing setting 'count'", "--cfg job"]),
    (["~objective.clip", "+objective.clop=1"], ["objective: ", "missing setting 'clip', unknown setting 'clop'"]),
]


def test_a_setting_that_has_another_name_is_told(plan_of):
    with pytest.raises(UserError, match=r"^unknown setting 'models.head_path'. Its name is models.head. See "):
        plan_of("models=openai_clip", "models.head_path=x.pth")


@pytest.mark.parametrize(("overrides", "said"), ERRORS, ids=[" ".join(overrides) for overrides, _ in ERRORS])
def test_bad_input_is_told_in_a_sentence(plan_of, overrides, said):
    with pytest.raises(UserError) as error:
        plan_of("canvas_px=128", "views.max_shift_px=8", *overrides)
    sentence = str(error.value)
    assert [part for part in said if part not in sentence] == [], sentence
    assert sentence.endswith(".")
    assert ": " in sentence
    assert "; " in sentence  # before the remedy
    assert "\n" not in sentence


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_that_is_not_there_is_told_when_planning(plan_of):
    with pytest.raises(UserError, match=r"runtime\.device: torch does not find cuda, only .*cpu.*runtime\.device=auto"):
        plan_of("runtime.device=cuda")
