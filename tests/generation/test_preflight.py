"""What is not deterministic is told by its name before anything is computed."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math

import pytest
import torch

from das_ag.errors import UserError
from das_ag.generation import generate as generate_module
from das_ag.generation.batch import Run
from das_ag.generation.generate import Outcome, generate
from das_ag.generation.guide import guide_of
from das_ag.generation.machine import set_up
from das_ag.generation.preflight import check_steps
from das_ag.store.store import Store

CPU = torch.device("cpu")
TWO = ("prompts=own", "prompts.positive={heart: a red heart, star: a yellow star}", "runtime.threads=1")
SENTENCE = (
    "runtime=deterministic: {got}; try another models.attention, runtime.device or version of torch, or use "
    "runtime=fast."
)
NO_SUCH, TWO_RESULTS = "has no deterministic algorithm on cpu", "gave two different results on cpu"


class NoisyGradient(torch.autograd.Function):
    """The same number, whose gradient is another each time."""

    @staticmethod
    def forward(_, values):
        return values.clone()

    @staticmethod
    def backward(_, gradient):
        return gradient + torch.rand(gradient.shape)


def put(pixels):
    """Two values for one place: which of them stays is open."""
    return pixels.put(torch.tensor([0, 0]), torch.tensor([1.0, 2.0]))


@pytest.fixture(scope="module")
def plan(plan_of, tiny):
    return plan_of(*tiny, *TWO)


@pytest.fixture(scope="module")
def loaded(plan):
    return guide_of(plan, plan.samples, CPU)


def seeing(loaded, change):
    """The guide, to which every image is changed."""
    other = copy.copy(loaded)
    other.functions = dataclasses.replace(
        loaded.functions, encode_images=lambda pixels: loaded.functions.encode_images(change(pixels))
    )
    return other


def check(plan, guide):
    set_up(plan.runtime)
    check_steps(plan, plan.samples[0], guide, CPU)


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (put, f"put_ {NO_SUCH}"),
        (lambda pixels: pixels + torch.rand(pixels.shape), f"rand.default {TWO_RESULTS}"),
        (lambda pixels: pixels + torch.randn_like(pixels), f"randn_like.default {TWO_RESULTS}"),
        (lambda pixels: torch.nn.functional.dropout(pixels, 0.5), f"bernoulli_.float {TWO_RESULTS}"),
        (lambda pixels: pixels + torch.zeros(()).expand(1).add_(torch.rand(())), f"rand.default {TWO_RESULTS}"),
        (NoisyGradient.apply, f"rand.default {TWO_RESULTS}"),
    ],
    ids=["no algorithm", "rand", "randn_like", "dropout", "one number expanded", "backward"],
)
def test_an_operation_that_is_not_deterministic_is_told_by_its_name(plan, loaded, change, got):
    """Not by what looks at new memory, of which the views of a step make use, before anything is written there."""
    with pytest.raises(UserError) as told:
        check(plan, seeing(loaded, change))
    assert str(told.value) == SENTENCE.format(got=got)


def test_of_several_operations_the_first_that_differs_is_told(plan, loaded):
    """What follows it differs too; what stands before does not, though it is drawn as well."""
    generator = torch.Generator()

    def change(pixels):
        same = torch.randn(pixels.shape, generator=generator.manual_seed(0))
        return torch.tanh(pixels + same).mul(torch.rand(pixels.shape)).sin()

    with pytest.raises(UserError, match=r"deterministic: rand\.default gave two different results on cpu"):
        check(plan, seeing(loaded, change))


def test_what_differs_once_and_not_again_is_told_too(plan, loaded):
    calls = itertools.count()
    with pytest.raises(UserError) as told:
        check(plan, seeing(loaded, lambda pixels: pixels + (next(calls) == 0)))
    assert str(told.value) == SENTENCE.format(
        got="a step gave two different results on cpu, but later repeats gave the same result"
    ).replace("; try", "; start again; if this error returns, try")


def lost(pixels):
    return pixels * math.nan


def refused(_):
    raise RuntimeError("mat1 and mat2 …")


def too_large(_):
    raise torch.OutOfMemoryError("CUDA out of memory.")


@pytest.mark.parametrize("change", [lost, refused, too_large])
def test_what_is_no_matter_of_determinism_is_left_to_the_batches(plan, loaded, change):
    check(plan, seeing(loaded, change))


@pytest.mark.parametrize("randomness", ["per_sample", "published"])
@pytest.mark.parametrize("more", [(), ("views.augment=false",), ("steps=1",), ("runtime.precision=bfloat16",)])
def test_a_fine_guide_passes_and_leaves_no_trace(plan_of, tiny, tmp_path, monkeypatch, randomness, more):
    monkeypatch.chdir(tmp_path)
    plan = plan_of(*tiny, *TWO, f"randomness={randomness}", *more)
    guide, numbers = guide_of(plan, plan.samples, CPU), torch.get_rng_state()
    check(plan, guide)
    assert list(tmp_path.iterdir()) == []
    assert torch.equal(torch.get_rng_state(), numbers)
    first, again = Run(plan.samples[:1], plan, guide, CPU), Run(plan.samples[:1], plan, guide, CPU)
    next(iter(first))
    check(plan, guide)
    next(iter(again))
    for a, b in zip(first.pyramid.levels, again.pyramid.levels, strict=True):
        assert torch.equal(a, b)


def test_the_step_is_one_from_the_middle(plan_of, tiny, loaded, monkeypatch):
    """There a schedule that begins at nothing has some weight, as the aesthetic one here."""
    plan, seen = plan_of(*tiny, *TWO, "method=das_ag", "steps=9"), []
    monkeypatch.setattr(Run, "__iter__", lambda run: (seen.append(it.step) or it for it in run._ascent))
    check(plan, loaded)
    assert seen == [4, 4]
    draw = dataclasses.replace(loaded.functions, rate_features=lambda f: f.sum(-1) * torch.rand(len(f)))
    other = copy.copy(loaded)
    other.functions = draw
    with pytest.raises(UserError, match=r": rand\.default gave two"):
        check(plan, other)


def test_it_runs_when_there_is_something_to_do(plan, tmp_path, monkeypatch):
    checked = []

    def count(*arguments):
        checked.append(arguments[1].prompt_id)
        check_steps(*arguments)

    monkeypatch.setattr(generate_module, "check_steps", count)
    store = Store(tmp_path)
    assert generate(plan, store) == Outcome(2, 0, {})
    assert checked == ["heart"]
    assert generate(plan, store) == Outcome(0, 2, {})
    assert checked == ["heart"]  # nothing to do


def test_a_run_that_would_not_repeat_ends_before_anything_is_made_and_a_fast_one_goes_on(
    plan_of, tiny, plan, loaded, tmp_path, monkeypatch
):
    store = Store(tmp_path)
    noisy = seeing(loaded, lambda pixels: pixels + torch.rand(pixels.shape))
    monkeypatch.setattr(generate_module, "guide_of", lambda *_, **__: noisy)
    with pytest.raises(UserError, match=r"^runtime=deterministic: rand\.default gave two different results"):
        generate(plan, store, watch=lambda *_: pytest.fail("a step was taken"))
    assert store.records() == ([], [])
    assert store.failures.errors() == {}
    assert generate(plan_of(*tiny, *TWO, "runtime=fast"), store) == Outcome(2, 0, {})
