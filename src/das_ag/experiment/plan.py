"""From a configuration to the samples that it asks for, everything checked before a model is loaded."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from das_ag.errors import UserError
from das_ag.experiment.evaluators import EVALUATORS, EvaluatorChoice
from das_ag.experiment.guides import GUIDES, GuideChoice
from das_ag.experiment.runtime import RuntimeSettings, choose_device, dtype_of
from das_ag.experiment.store import Sample
from das_ag.experiment.typed import build, check_names
from das_ag.synthesis import RANDOMNESS, REVISION, AscentSettings, ObjectiveSettings, PyramidSettings, ViewSettings

OUTPUTS = Path("outputs")
CONFIGURATION = Path(__file__).parents[3] / "conf"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


_OPTIONS = (
    "name", "seeds", "method", "prompts", "models", "pyramid", "evaluator", "runtime", "canvas_px", "gamut", "steps",
    "learning_rate", "betas", "views", "objective", "randomness", "published_figures",
)  # fmt: skip
_GROUPS = {
    "method": ("name", "aesthetic_sign"),
    "prompts": ("positive", "negative"),
}
"""Names in a configuration, and in those of its groups that no dataclass describes."""


@dataclass(frozen=True)
class Settings:
    """Everything but method, prompt and seed that determines an image.

    Attributes:
        guide: what guides, without where its files lie.
        precision: of the guide's image tower.
        randomness: one of `RANDOMNESS`.
    """

    pyramid: PyramidSettings
    views: ViewSettings
    objective: ObjectiveSettings
    ascent: AscentSettings
    guide: Mapping[str, Any]
    precision: str
    randomness: str

    @property
    def border_px(self) -> int:
        """What the image loses of the canvas on each side."""
        return self.views.max_shift_px


@dataclass(frozen=True)
class Plan:
    """What one configuration asks for.

    Attributes:
        samples: in the order in which they are made.
        settings: which they share.
        runtime: where they are made.
        guide: which networks guide, and where their files lie.
        evaluators: predictors that score them, by name.
        folder: of the store.
        published_figures: whether the published figures are to stand beside the table.
    """

    samples: tuple[Sample, ...]
    settings: Settings
    runtime: RuntimeSettings
    guide: GuideChoice
    evaluators: Mapping[str, EvaluatorChoice]
    folder: Path
    published_figures: bool

    @property
    def samples_per_batch(self) -> int:
        """Samples optimised together; those of the published program are made one at a time."""
        return 1 if self.settings.randomness == "published" else self.runtime.samples_per_batch


def compose_config(overrides: Sequence[str]) -> DictConfig:
    """The configuration that `python run.py` would see with these overrides, for other programs than run.py.

    Raises:
        UserError: there is no such group, choice or option.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException

    try:
        with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
            return compose("config", overrides=list(overrides))
    except HydraException as error:
        raise UserError(f"{str(error).splitlines()[0].rstrip('.')}; see python run.py --help.") from error


def make_plan(config: DictConfig) -> Plan:
    """Checks a composed configuration and lists its samples.

    Raises:
        UserError: an option is missing, of the wrong type or out of range, or a prompt cannot be understood.
    """
    try:
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = getattr(error, "full_key", None) or "configuration"
        raise UserError(f"{key}: expected a value, got none; give it on the command line.") from error
    except OmegaConfBaseException as error:
        raise UserError(f"configuration: {str(error).splitlines()[0]}; see python run.py --cfg job.") from error
    return _make_plan(cast(dict[str, Any], values))


def choose_guide(values: object) -> GuideChoice:
    """The networks of the group `models`.

    Raises:
        UserError: there is no such family, or an option is wrong.
    """
    values = _plain(values)
    family = check_choice(values.get("family") if isinstance(values, dict) else values, GUIDES, "models.family")
    return build(GUIDES[family], values, "models")


def choose_evaluators(values: object) -> dict[str, EvaluatorChoice]:
    """The predictors of the group `evaluator`, options by name.

    Raises:
        UserError: there is no such predictor, or an option is wrong.
    """
    values = _plain(values)
    if not isinstance(values, Mapping) or not values:
        raise UserError(f"evaluator: expected one of {', '.join(EVALUATORS)}, got {values!r}; choose one of them.")
    chosen: dict[str, EvaluatorChoice] = {}
    for name, options in values.items():
        check_choice(name, EVALUATORS, "evaluator")
        chosen[str(name)] = build(EVALUATORS[name], options, f"evaluator.{name}")
    return chosen


def check_choice(name: object, choices: Sequence[str] | Mapping[str, object], option: str) -> str:
    """Returns the name if it is one of the choices.

    Raises:
        UserError: it is not.
    """
    if name not in choices:
        raise UserError(f"{option}: expected one of {', '.join(choices)}, got {name!r}; choose one of them.")
    return str(name)


def output_folder(name: object) -> Path:
    """Where the results of the experiment of that name lie.

    Raises:
        UserError: the name could lead elsewhere.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError(
            f"name: expected letters, digits and . _ - with no other character, got {name!r}; change name=."
        )
    return OUTPUTS / name


def _make_plan(values: dict[str, Any]) -> Plan:
    check_names(values, _OPTIONS, "")
    for group, names in _GROUPS.items():
        check_names(values[group], names, group)
    runtime = build(RuntimeSettings, values["runtime"], "runtime")
    device, dtype = choose_device(runtime.device), dtype_of(runtime.precision, "runtime.precision")
    method = values["method"]
    if not isinstance(method["name"], str) or not _NAME.fullmatch(method["name"]):
        raise UserError(f"method.name: expected a short name, got {method['name']!r}; choose a method, see --help.")
    objective = {**values["objective"], "aesthetic_sign": method["aesthetic_sign"]}
    ascent = {name: values[name] for name in ("steps", "learning_rate", "betas")}
    guide = choose_guide(values["models"])
    evaluators = choose_evaluators(values["evaluator"])
    settings = Settings(
        pyramid=build(PyramidSettings, values["pyramid"], "pyramid"),
        views=build(ViewSettings, values["views"], "views"),
        objective=build(ObjectiveSettings, objective, "objective"),
        ascent=build(AscentSettings, ascent, ""),
        guide=guide.identity(),
        precision=runtime.precision,
        randomness=check_choice(values["randomness"], RANDOMNESS, "randomness"),
    )
    if not isinstance(values["published_figures"], bool):
        raise UserError(f"published_figures: expected true or false, got {values['published_figures']!r}; change it.")
    if 2 * settings.border_px >= settings.pyramid.canvas_px:
        raise UserError(
            f"views.max_shift_px: expected less than half the canvas of {settings.pyramid.canvas_px} px, got "
            f"{settings.border_px}, which leaves no image; lower it or raise canvas_px."
        )
    prompts, seeds, folder = _prompts(values["prompts"]), _seeds(values["seeds"]), output_folder(values["name"])
    guide.check(device, dtype)
    for evaluator in evaluators.values():
        evaluator.check(device)
    weights = guide.digests()  # the first look at files, and perhaps a download
    _check_words(prompts, guide)
    identity = dataclasses.asdict(settings) | {
        "revision": REVISION,
        "weights": weights,
    }
    samples = tuple(
        Sample(method["name"], prompt_id, positive, negative, seed, _plain(identity))
        for seed in seeds
        for prompt_id, positive, negative in prompts
    )
    return Plan(samples, settings, runtime, guide, evaluators, folder, values["published_figures"])


def _seeds(seeds: object) -> list[int]:
    if not isinstance(seeds, list) or not seeds:
        raise UserError(f"seeds: expected at least one whole number in brackets, got {seeds!r}; give 'seeds=[42]'.")
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
            raise UserError(f"seeds: expected whole numbers from 0, got {seed!r}; give for instance 'seeds=[1,2,3]'.")
    repeated = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if repeated:
        raise UserError(f"seeds: expected each seed once, got {', '.join(map(str, repeated))} repeated; remove it.")
    return seeds


def _prompts(values: dict[str, Any]) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """(id, positive texts, negative texts) of each prompt."""
    positive = values["positive"]
    if not isinstance(positive, dict) or not positive:
        example = "'prompts.positive={mine: \"a red circle\"}'"
        raise UserError(f"prompts.positive: expected named prompts, got {positive!r}; give for instance {example}.")
    negative = _texts(values["negative"], "prompts.negative")
    prompts = []
    for prompt_id, value in positive.items():
        if not isinstance(prompt_id, str) or not _NAME.fullmatch(prompt_id):
            raise UserError(
                f"prompts.positive: expected short names of letters, digits and . _ -, got {prompt_id!r}; rename it."
            )
        texts = _texts(value, f"prompts.positive.{prompt_id}")
        if not texts:
            raise UserError(f"prompts.positive.{prompt_id}: expected a text, got {value!r}; write one or remove it.")
        prompts.append((prompt_id, texts, negative))
    return prompts


def _texts(value: object, where: str) -> tuple[str, ...]:
    texts = []
    for text in value if isinstance(value, list) else [] if value is None else [value]:
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{where}: expected a text, got {text!r}; write one or remove it.")
        texts.append(text.strip())
    return tuple(texts)


def _check_words(prompts: Sequence[tuple[str, tuple[str, ...], tuple[str, ...]]], guide: GuideChoice) -> None:
    places = [(f"prompts.positive.{prompt_id}", texts) for prompt_id, texts, _ in prompts]
    for where, texts in [*places, ("prompts.negative", prompts[0][2])]:
        for text in texts:
            if not guide.content_words(text):
                raise UserError(
                    f"{where}: expected words that the {guide.family} models know, got only unknown ones in {text!r}; "
                    "use words like “a red circle on a blue background”."
                )


def _plain(value: Any) -> Any:
    """Plain values of a part of a configuration; tuples as lists, as JSON gives them back."""
    if OmegaConf.is_config(value):
        return OmegaConf.to_container(value, resolve=True)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
