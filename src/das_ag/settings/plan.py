"""Turns a configuration into a plan of samples; it checks everything before it loads a model."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from das_ag.errors import UserError, repeated_in
from das_ag.models.precision import dtype_of
from das_ag.models.registry import EvaluatorChoice, GuideChoice, provide_weights
from das_ag.settings import resolvers  # noqa: F401  the configuration uses them
from das_ag.settings.choices import choose_evaluators, choose_guide, choose_runtime, plain
from das_ag.settings.prompts import Prompt, prompts_of
from das_ag.settings.ranges import check_border, check_bounds, check_choice, check_ranges
from das_ag.settings.runtime import RuntimeSettings, choose_device
from das_ag.settings.typed import build, check_names, convert, short_name
from das_ag.store.samples import Sample, without_later, without_weight
from das_ag.store.schema import is_seed
from das_ag.synthesis.ascent import REVISION
from das_ag.synthesis.objective import ObjectiveSettings
from das_ag.synthesis.optimiser import AscentSettings
from das_ag.synthesis.pyramid import PyramidSettings
from das_ag.synthesis.schedules import Schedule
from das_ag.synthesis.terms import IMAGE_TERMS, VIEW_TERMS
from das_ag.synthesis.views import ViewSettings

log = logging.getLogger(__name__)

RANDOMNESS = ("per_sample", "published")
_OPTIONS = (
    "name", "seeds", "method", "prompt", "prompts", "models", "pyramid", "evaluator", "runtime", "canvas_px", "gamut",
    "gamut_gain", "steps", "learning_rate", "betas", "views", "objective", "randomness", "published_figures", "shard",
    "shards", "dry_run", "output_dir", "film",
)  # fmt: skip
_EXAMPLES = {
    "prompts.positive": """'prompts.positive={mine: "a castle and a volcano"}'""",
    "prompts.path": "prompts.path=prompts.csv",
}
"""Examples of settings that have no default."""
_METHOD = ("name", "aesthetic_sign")
"""Names in the group `method`; like `_OPTIONS`, it has no dataclass."""


@dataclass(frozen=True)
class Settings:
    """Everything that determines an image, except method, prompt and seed.

    Attributes:
        guide: options of the guide, without the paths of its files.
        precision: precision of the guide's image tower.
        deterministic: whether the same settings always give the same bytes.
        randomness: one of `RANDOMNESS`.
    """

    pyramid: PyramidSettings
    views: ViewSettings
    objective: ObjectiveSettings
    ascent: AscentSettings
    guide: Mapping[str, Any]
    precision: str
    deterministic: bool
    randomness: str

    @property
    def border_px(self) -> int:
        """Width of the canvas border, which the image does not include."""
        return self.views.max_shift_px


@dataclass(frozen=True)
class Plan:
    """The work that one configuration requests.

    Attributes:
        samples: samples of this shard, in the order of generation.
        settings: settings that all samples share.
        runtime: where and how to compute them.
        guide: the networks that guide, with the paths of their files.
        evaluators: predictors that score the samples, by name.
        folder: folder of the store.
        published_figures: whether the report shows the published figures beside the table.
        dry_run: whether to only report the remaining work.
        film: whether to keep small pictures of each ascent. It is not in the key: it changes no image.
    """

    samples: tuple[Sample, ...]
    settings: Settings
    runtime: RuntimeSettings
    guide: GuideChoice
    evaluators: Mapping[str, EvaluatorChoice]
    folder: Path
    published_figures: bool
    dry_run: bool
    film: bool

    @property
    def samples_per_batch(self) -> int:
        """Samples optimised together; always 1 with the published program's randomness."""
        return 1 if self.settings.randomness == "published" else self.runtime.samples_per_batch

    @property
    def batches(self) -> list[tuple[Sample, ...]]:
        """The samples in batches that are optimised together; the last batch may be smaller."""
        size = self.samples_per_batch
        return [self.samples[first : first + size] for first in range(0, len(self.samples), size)]


def make_plan(config: DictConfig, *, evaluate: bool = False) -> Plan:
    """Checks a composed configuration and lists its samples; downloads missing weights, except for a dry run.

    Args:
        evaluate: whether the evaluators' weights are needed too.

    Raises:
        UserError: an option is missing, of the wrong type or out of range, or the guide understands none of a prompt.
    """
    try:
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = getattr(error, "full_key", None) or "configuration"
        example = _EXAMPLES.get(key)
        given = f", for instance {example}" if example else ""
        raise UserError(f"{key}: expected a value, got none; give it on the command line{given}.") from error
    except OmegaConfBaseException as error:
        raise UserError(f"configuration: {str(error).splitlines()[0]}; see das-ag run --cfg job.") from error
    return _make_plan(cast(dict[str, Any], values), evaluate)


def output_folder(name: object, output_dir: object) -> Path:
    """The folder with the results of the experiment of this name.

    Raises:
        UserError: the name contains other characters, which could lead outside of `output_dir`; or that is no path.
    """
    if not isinstance(output_dir, str) or not output_dir.strip() or "\0" in output_dir:
        raise UserError(f"output_dir: expected the path of a folder, got {output_dir!r}; try output_dir=outputs.")
    return Path(output_dir).expanduser() / short_name(name, "name")


def _make_plan(values: dict[str, Any], evaluate: bool) -> Plan:
    check_names(values, _OPTIONS, "")
    check_names(values["method"], _METHOD, "method")
    runtime, guide = choose_runtime(values["runtime"]), choose_guide(values["models"])
    device, dtype = choose_device(runtime.device), dtype_of(runtime.precision, "runtime.precision")
    method = short_name(values["method"]["name"], "method.name")
    evaluators = choose_evaluators(values["evaluator"])
    settings = _settings(values, runtime, guide)
    flags = {option: convert(bool, values[option], option) for option in ("published_figures", "dry_run", "film")}
    prompts, seeds = prompts_of(values["prompts"], values["prompt"]), _seeds(values["seeds"])
    folder = output_folder(values["name"], values["output_dir"])
    shard, shards = _shard(values)
    guide.check(device, dtype)
    _check_method(settings, guide)
    for evaluator in evaluators.values():
        evaluator.check(device)
    provide_weights(guide, evaluators.values() if evaluate else (), dry_run=flags["dry_run"])
    identity = _identity(settings, guide.digests())
    _check_words(prompts, guide)
    whole = Plan(
        samples=tuple(
            Sample(method, prompt.id, prompt.positive, prompt.negative, seed, identity)
            for prompt, seed in _seeded(prompts, seeds)
        ),
        settings=settings,
        runtime=runtime,
        guide=guide,
        evaluators=evaluators,
        folder=folder,
        published_figures=flags["published_figures"] and values["prompt"] is None,
        dry_run=flags["dry_run"],
        film=flags["film"],
    )
    # A shard has whole batches: an image's last bits depend on its batch, and must not depend on the number of shards.
    return dataclasses.replace(whole, samples=tuple(itertools.chain(*whole.batches[shard::shards])))


def _settings(values: Mapping[str, Any], runtime: RuntimeSettings, guide: GuideChoice) -> Settings:
    ascent = {name: values[name] for name in ("steps", "learning_rate", "betas")}
    settings = Settings(
        pyramid=build(PyramidSettings, values["pyramid"], "pyramid"),
        views=build(ViewSettings, values["views"], "views"),
        objective=_objective(values["objective"], values["method"]["aesthetic_sign"]),
        ascent=build(AscentSettings, ascent, ""),
        guide=guide.identity(),
        precision=runtime.precision,
        deterministic=runtime.deterministic,
        randomness=check_choice(values["randomness"], RANDOMNESS, "randomness"),
    )
    check_border(settings.pyramid.canvas_px, settings.border_px)
    return settings


def _identity(settings: Settings, weights: Mapping[str, str]) -> dict[str, Any]:
    """What a sample's key covers of the settings; `weights` has the checksums of the guide's files."""
    recorded = plain(dataclasses.asdict(settings) | {"revision": REVISION, "weights": weights})
    recorded["objective"] |= recorded["objective"].pop("others")
    # DAS ignores the aesthetic weight, so one DAS image is the baseline for every weight.
    return without_later(without_weight(recorded))


def _objective(values: object, sign: object) -> ObjectiveSettings:
    """The settings of the group `objective`: two required ones, and the weight of each further term."""
    terms = (*VIEW_TERMS, *IMAGE_TERMS)
    group = check_names(values, ("aesthetic", "clip"), "objective", optional=terms)
    settings = ObjectiveSettings(
        aesthetic=build(Schedule, group["aesthetic"], "objective.aesthetic"),
        aesthetic_sign=convert(int, sign, "method.aesthetic_sign"),
        clip=convert(float, group["clip"], "objective.clip"),
        others={name: convert(float, group[name], f"objective.{name}") for name in group if name in terms},
    )
    check_ranges(settings)
    return settings


def _check_method(settings: Settings, guide: GuideChoice) -> None:
    """Checks that the settings are compatible."""
    if settings.objective.aesthetic_sign and not guide.rates:
        raise UserError(
            "method: this guide has no quality head, so it supports only das; use method=das, or give models.head=path."
        )
    if settings.views.crops and settings.randomness == "published":
        raise UserError(
            f"views.crops: expected 0 with randomness=published, got {settings.views.crops}; use randomness=per_sample "
            "for crops."
        )


def _seeded(prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[tuple[Prompt, int]]:
    """Every prompt with every seed; a prompt with its own seed gets only that seed."""
    if len(seeds) > 1 and all(prompt.seed is not None for prompt in prompts):
        log.warning("seeds: all %d are ignored, since every prompt has its own seed", len(seeds))
    pairs = [(prompt, seed) for seed in seeds for prompt in prompts if prompt.seed is None]
    pairs += [(prompt, prompt.seed) for prompt in prompts if prompt.seed is not None]
    places: dict[tuple[object, int], str] = {}
    for prompt, seed in pairs:
        for what, named in ((prompt.id, f"id {prompt.id!r}"), ((prompt.positive, prompt.negative), "texts")):
            before = places.setdefault((what, seed), prompt.where)
            if before != prompt.where:
                raise UserError(f"{prompt.where}: same {named} and same seed {seed} as in {before}; change its seed.")
    return pairs


def _shard(values: Mapping[str, Any]) -> tuple[int, int]:
    shard, shards = (convert(int, values[name], name) for name in ("shard", "shards"))
    check_bounds("shards", shards, 1, "1 makes all samples")
    if not 0 <= shard < shards:
        raise UserError(
            f"shard: expected a whole number from 0 to {shards - 1} with shards={shards}, got {shard!r}; run all "
            f"shards with -m shard={','.join(map(str, range(min(shards, 4))))}{',…' if shards > 4 else ''}."
        )
    return shard, shards


def _seeds(given: object) -> list[int]:
    seeds: list[Any] = given if isinstance(given, list) else [given]  # in a job of `-m seeds=1,2,3`, one number
    if not seeds:
        raise UserError("seeds: expected at least one whole number, got none; write for instance seeds=42.")
    for seed in seeds:
        if not is_seed(seed):
            raise UserError(
                f"seeds: expected whole numbers from 0 to 2**63 - 1, got {seed!r}; write for instance seeds=1,2,3."
            )
    if repeated := sorted(repeated_in(seeds)):
        raise UserError(
            f"seeds: expected each seed once, got {', '.join(map(str, repeated))} more than once; remove the repeats."
        )
    return seeds


def _check_words(prompts: Sequence[Prompt], guide: GuideChoice) -> None:
    places: dict[str, str] = {}
    for prompt in prompts:
        for where, texts in ((prompt.where, prompt.positive), (prompt.where_negative, prompt.negative)):
            for text in texts:
                places.setdefault(text, where)
    for text in guide.without_content(list(places)):
        near = [known for word in guide.lost_words(text) for known in guide.nearest_words(word)][:3]
        meant = f". Did you mean {' or '.join(near)}? Otherwise, " if near else "; "
        raise UserError(f"{places[text]}: the guide knows no word of {text!r}{meant}{guide.advice}.")
