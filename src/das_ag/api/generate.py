"""Makes images from Python."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from PIL import Image

from das_ag.api.overrides import overrides_of
from das_ag.api.result import Result, Step, read_result
from das_ag.api.score import load_evaluator
from das_ag.errors import UserError
from das_ag.evaluation.evaluate import check_evaluators, evaluate
from das_ag.generation.batch import Run, Stopped, Watch
from das_ag.generation.generate import generate as make_samples
from das_ag.generation.machine import restored, set_up
from das_ag.models.registry import EvaluatorChoice
from das_ag.settings import environment
from das_ag.settings.configuration import compose_config
from das_ag.settings.plan import Plan, make_plan
from das_ag.settings.runtime import choose_device
from das_ag.store.samples import Sample
from das_ag.store.store import Store
from das_ag.synthesis.ascent import Iterate

STORE = "outputs/own"
"""Default folder of the images."""
_OTHERWISE = {
    "prompts": "give the texts as prompt=",
    **dict.fromkeys(("name", "output_dir"), "give the folder as store="),
    "dry_run": "use das-ag run",
    **dict.fromkeys(("shard", "shards"), "give each process its own prompts or seeds"),
}
"""Settings of the command that `generate` does not take, with what to do instead."""


@overload
def generate(prompt: str, *, seeds: None = None, **options: Any) -> Result: ...
@overload
def generate(prompt: str, *, seeds: Iterable[int], **options: Any) -> list[Result]: ...
@overload
def generate(
    prompt: list[str] | tuple[str, ...], *, seeds: Iterable[int] | None = None, **options: Any
) -> list[Result]: ...
def generate(
    prompt: str | list[str] | tuple[str, ...],
    *,
    method: str = "das",
    negative: str | Sequence[str] | None = None,
    seed: int = 42,
    seeds: Iterable[int] | None = None,
    evaluator: str | Mapping[str, Any] | None = "default",
    store: str | Path | None = STORE,
    callback: Callable[[Step], object] | None = None,
    progress: bool = True,
    **settings: Any,
) -> Result | list[Result]:
    """Makes images of a text, or finds them in the store; the same bytes as `das-ag run` with the same settings.

    During the call, torch uses the number of threads and the deterministic algorithms that the settings demand; then
    it works as before. The networks stay in memory for the next call.

    Args:
        prompt: what the image should show; or several texts for an image of each.
        method: das, das_ag or das_rag.
        negative: what the image should not show: a text or several; None: as the settings say.
        seed: 0 … 2**63 - 1.
        seeds: several seeds, for an image with each.
        evaluator: what scores the images, for instance imagenet; default: as the settings say; None: nothing.
        store: folder of the finished images, which are not made again; None: nothing is written.
        callback: gets a `Step` after each step, but none of an image that is found. An exception that it raises ends
            the call; finished images stay in the store.
        progress: whether to show a progress bar on stderr.
        settings: any setting of `das-ag run`. Settings of a group are a mapping, as in `steps=200, views={"count": 8}`,
            or have dots, as in `models="openai_clip", **{"models.name": "ViT-L/14@336px"}`.

    Returns:
        The result; a list for several texts or for `seeds`: all seeds of the first text, then those of the next.

    Raises:
        UserError: a setting or text is wrong, the store cannot be written to, or an image failed; finished images stay
            in the store.

    Example:
        >>> import das_ag
        >>> fast = {"steps": 2, "canvas_px": 48, "views": {"count": 1, "max_shift_px": 4}}
        >>> results = das_ag.generate(["a volcano", "a castle"], seeds=[1, 2], store=None, progress=False, **fast)
        >>> [(result.prompt, result.seed) for result in results]
        [('a volcano', 1), ('a volcano', 2), ('a castle', 1), ('a castle', 2)]
    """
    if taken := [name for name in settings if name in _OTHERWISE]:
        raise UserError(f"{taken[0]}: das_ag.generate has no such argument; {_OTHERWISE[taken[0]]}.")
    if not isinstance(seeds, Iterable | None):
        raise UserError(
            f"seeds: expected several seeds, got {seeds!r}; write seed=1 for one, seeds=[1, 2] for several."
        )
    environment.prepare()
    texts = [text.strip() for text in _texts("prompt", prompt)]
    options = {"method": method, "prompt": texts, "seeds": [seed] if seeds is None else list(seeds), **settings}
    if negative is not None:
        options["prompts.negative"] = _texts("negative", negative)
    if evaluator not in ("default", None):
        options["evaluator"] = evaluator
    plan = make_plan(compose_config(overrides_of(options)), evaluate=evaluator is not None)
    evaluators = plan.evaluators if evaluator is not None else {}
    with tempfile.TemporaryDirectory() if store is None else contextlib.nullcontext(store) as folder:
        opened = Store(Path(folder).expanduser())
        _make(plan, evaluators, opened, callback, progress)
        results = [read_result(opened, sample, [*evaluators], is_kept=store is not None) for sample in plan.samples]
    results.sort(key=lambda result: texts.index(result.prompt))  # stable: a plan has the seeds in their order
    return results[0] if isinstance(prompt, str) and seeds is None else results


def _texts(name: str, given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    if wrong := [text for text in texts if not isinstance(text, str)]:
        raise UserError(f"{name}: expected a text or a list of texts, got {wrong[0]!r}; write it in quotes.")
    return texts


def _make(
    plan: Plan,
    evaluators: Mapping[str, EvaluatorChoice],
    store: Store,
    callback: Callable[[Step], object] | None,
    progress: bool,
) -> None:
    """Makes and scores the missing images of a plan."""
    check_evaluators(evaluators, plan.samples)
    watch = _watch(callback, plan.settings.ascent.steps) if callback else None
    with restored():
        set_up(plan.runtime)
        try:
            outcome = make_samples(plan, store, watch=watch, keep_text_tower=True, bar=progress)
        except Stopped as stopped:
            raise (stopped.__cause__ or stopped) from None
        complaints = [f"{name}: {error}" for name, error in outcome.failed.items()]
        if not complaints:
            records = [store.record_of(sample) for sample in plan.samples]
            bar, device = None if progress else False, choose_device(plan.runtime.device)
            complaints = evaluate(store, evaluators, device, only=records, load=load_evaluator, bar=bar)
    if complaints:
        raise UserError("\n".join(complaints))


def _watch(callback: Callable[[Step], object], steps: int) -> Watch:
    """Calls the callback for each image of a batch."""

    def watch(samples: Sequence[Sample], run: Run, iterate: Iterate) -> None:
        columns = {"loss": iterate.loss, **iterate.terms}
        try:
            for row, sample in enumerate(samples):
                losses = {name: float(values[row]) for name, values in columns.items()}
                draw = functools.partial(_draw, run, row)
                callback(Step(iterate.step, steps, sample.positive[0], sample.seed, losses, draw))
        except Exception as error:  # `generate` would take it for a failure of the samples
            raise Stopped from error

    return watch


def _draw(run: Run, row: int) -> Image.Image:
    return Image.fromarray(run.images()[row])
