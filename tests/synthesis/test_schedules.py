import pytest

from das_ag.synthesis.schedules import KINDS, Schedule

# (kind, start, end, rate), (step, steps), value: worked out by hand from the formula in each comment.
BY_HAND = [
    # start + (end - start) · t / T
    (("linear", 1.0, 5.0, 0.5), (0, 8), 1.0),
    (("linear", 1.0, 5.0, 0.5), (3, 8), 2.5),
    (("linear", 1.0, 5.0, 0.5), (7, 8), 4.5),
    (("linear", 5.0, 1.0, 0.5), (3, 8), 3.5),
    # (start - end) · (1 - r)^t + end
    (("exponential_decay", 4.0, 1.0, 0.5), (0, 10), 4.0),
    (("exponential_decay", 4.0, 1.0, 0.5), (3, 10), 1.375),
    (("exponential_decay", 4.0, 1.0, 0.25), (2, 10), 2.6875),
    # the published aesthetic weight, 3 - 3 · 0.94^t: it rises
    (("exponential_decay", 0.0, 3.0, 0.06), (0, 200), 0.0),
    (("exponential_decay", 0.0, 3.0, 0.06), (1, 200), 0.18),
    (("exponential_decay", 0.0, 3.0, 0.06), (2, 200), 0.3492),
    # (end - start) · (1 - r)^(T - t) + start - (end - start) · (1 - r)^T
    (("exponential_warmup", 1.0, 9.0, 0.5), (0, 4), 1.0),
    (("exponential_warmup", 1.0, 9.0, 0.5), (1, 4), 1.5),
    (("exponential_warmup", 1.0, 9.0, 0.5), (2, 4), 2.5),
    (("exponential_warmup", 1.0, 9.0, 0.5), (3, 4), 4.5),
    # end + (start - end) · (1 + cos(πt/T)) / 2, where cos(π/4) = 0.70710678 and cos(π/3) = 0.5
    (("cosine", 3.0, 1.0, 0.5), (0, 4), 3.0),
    (("cosine", 3.0, 1.0, 0.5), (1, 4), 2.70710678),
    (("cosine", 3.0, 1.0, 0.5), (2, 4), 2.0),
    (("cosine", 3.0, 1.0, 0.5), (3, 4), 1.29289322),
    (("cosine", 0.0, 8.0, 0.5), (1, 3), 2.0),
]


@pytest.mark.parametrize(("schedule", "when", "value"), BY_HAND)
def test_formula(schedule, when, value):
    assert Schedule(*schedule)(*when) == pytest.approx(value, abs=1e-8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 7, 200])
def test_the_first_step_has_the_start(kind, steps):
    assert Schedule(kind, 0.2, 0.5, 0.03)(0, steps) == pytest.approx(0.2, abs=1e-12)


@pytest.mark.parametrize(
    ("kind", "last"),
    # (T - 1)/T of the way; 1 - 0.94^199; 0.94 - 0.94^200; (1 - cos(199π/200)) / 2; on the way from 0 to 1
    [("linear", 0.995), ("exponential_decay", 0.9999955), ("exponential_warmup", 0.9399958), ("cosine", 0.9999383)],
)
def test_the_last_step_comes_near_the_end(kind, last):
    assert Schedule(kind, 0.0, 1.0, 0.06)(199, 200) == pytest.approx(last, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_start_and_end_stay_constant(kind):
    schedule = Schedule(kind, 0.3, 0.3, 0.5)
    assert [schedule(step, 5) for step in range(5)] == pytest.approx([0.3] * 5)


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_kinds_without_a_rate_ignore_it(kind):
    assert Schedule(kind, 2.0, 4.0, 0.0)(1, 2) == pytest.approx(3.0)
