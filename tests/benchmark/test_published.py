"""What this program is measured against computes the same."""

from __future__ import annotations

import pytest
import torch
from reference import save_small_clip

from das_ag.benchmark.published import published_way
from das_ag.benchmark.scaling import AXES, measure_axis
from das_ag.benchmark.steps import alternate, measure_against_published, measure_step
from das_ag.generation.batch import Run
from das_ag.generation.guide import guide_of
from das_ag.models.aesthetic import save_random_head
from das_ag.settings.plan import make_plan

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def overrides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    save_random_head(folder / "head.pth")
    files = f"models.path={save_small_clip(folder)}", f"models.head={folder / 'head.pth'}"
    return ("canvas_px=256", "views.max_shift_px=8", "steps=4", "runtime.device=cpu", *files)


@pytest.mark.parametrize("method", ["das_ag", "das_rag"])
def test_the_published_way_sees_the_same_losses(compose_paper, overrides, method):
    """Same seed, same numbers, to rounding: what is compared in speed is the same computation."""
    plan = make_plan(compose_paper(*overrides, f"method={method}", "objective.total_variation=0.1", "objective.l1=0.1"))
    sample = plan.samples[0]
    guide = guide_of(plan, [sample], CPU)
    ours = [float(iterate.loss[0]) for iterate in Run([sample], plan, guide, CPU)]
    theirs = [loss for loss, _ in published_way(plan, sample, CPU, guide.published_state(sample.seed))]
    assert len(ours) == 4
    assert ours == pytest.approx(theirs, abs=2e-5)


def test_rounds_to_warm_up_do_not_count():
    calls = []
    seconds = alternate([lambda: calls.append("a"), lambda: calls.append("b")], 3, CPU)
    assert seconds.shape == (3, 2)
    assert "".join(calls) == "ab" * 5


def test_what_is_measured_is_positive(compose_paper, overrides, tiny):
    measured = measure_against_published(make_plan(compose_paper(*overrides)), 1)
    assert min(measured.ours_s, measured.published_s, measured.faster) > 0
    step = measure_step(tiny, 1)
    assert step.views == 2
    assert step.peak_mb > step.beyond_torch_mb >= 0
    assert step.overhead == pytest.approx(step.step_s / step.bare_s)


def test_an_axis_has_a_row_for_each_value(tiny):
    table = measure_axis("views", tiny, 1)
    assert list(table["value"]) == list(AXES["views"].values)
    assert (table["seconds"] > 0).all()
    assert table["ratio"].iloc[0] == 1
    assert list(measure_axis("levels", tiny, 1)["value"]) == ["powers_of_two", "all_resolutions"]
