import pytest
import torch
from torch.nn import functional as F

from das_ag.generation.batch import mean_features
from das_ag.synthesis.objective import Guide, Objective, ObjectiveSettings, measure_image
from das_ag.synthesis.schedules import Schedule
from das_ag.synthesis.terms import highlights, total_variation

DIM, SIZE = 6, 4
OTHERS = {"total_variation": 0.5, "l1": 0.25, "highlights": 0.0}
TERMS = {"aesthetic": 0.6, "positive": 0.3, "negative": 0.1, "total_variation": 0.4, "l1": 0.2, "highlights": 0.05}


def settings(**changes):
    aesthetic = Schedule("linear", 2.0, 2.0, 0.5)
    others = {name: changes.pop(name, weight) for name, weight in OTHERS.items()}
    return ObjectiveSettings(**({"aesthetic": aesthetic, "aesthetic_sign": 1, "clip": 5.0} | changes), others=others)


def measure(objective, guide, views, step=0):
    terms, _ = objective.measure_views(guide, views, weights=objective.settings.weights(step, 10), views_per_pass=99)
    return terms


def tensors(terms, dtype=torch.float32):
    return {name: torch.tensor([value], dtype=dtype) for name, value in terms.items()}


def random_features(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, DIM, dtype=torch.float64, generator=generator), dim=-1)


def mean_of(features):
    return mean_features([list(f) for f in features], torch.zeros(DIM, dtype=torch.float64))


def toy_guide():
    """A fixed random linear encoder with a linear rating."""
    generator = torch.Generator().manual_seed(1)
    encoder = torch.randn(3 * SIZE * SIZE, DIM, dtype=torch.float64, generator=generator)
    rating = torch.randn(DIM, dtype=torch.float64, generator=generator)
    return Guide(SIZE, lambda x: F.normalize(x.flatten(1) @ encoder, dim=-1), lambda f: f @ rating + 5)


def random_views(batch, count, seed=2):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, count, 3, SIZE, SIZE, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize(
    ("sign", "loss"),
    [
        (0, -0.75),  # DAS: -5 · (0.3 - 0.1) + 0.5 · 0.4 + 0.25 · 0.2
        (1, -1.95),  # DAS-AG: -2 · 0.6 more
        (-1, 0.45),  # DAS-rAG: +2 · 0.6 more
    ],
)
def test_loss_by_hand(sign, loss):
    objective = Objective(settings(aesthetic_sign=sign), random_features(1), random_features(1))
    terms = tensors(TERMS)
    assert objective.loss(terms, 0, 10).tolist() == pytest.approx([loss], abs=1e-6)


@pytest.mark.parametrize(
    ("weight", "loss"),
    [
        ("clip", -0.2),  # -(0.3 - 0.1)
        ("total_variation", 0.4),
        ("l1", 0.2),
        ("highlights", 0.05),
    ],
)
def test_each_weight_reaches_its_own_term(weight, loss):
    none = {"clip": 0.0, "total_variation": 0.0, "l1": 0.0}
    objective = Objective(settings(aesthetic_sign=0, **(none | {weight: 1.0})), random_features(1), random_features(1))
    terms = tensors(TERMS)
    assert objective.loss(terms, 0, 10).tolist() == pytest.approx([loss], abs=1e-6)


@pytest.mark.parametrize(("step", "weight"), [(0, 0.0), (1, 0.18), (2, 0.3492)])  # 3 - 3 · 0.94^t
def test_the_aesthetic_weight_follows_its_schedule(step, weight):
    published = Schedule("exponential_decay", 0.0, 3.0, 0.06)
    chosen = settings(aesthetic=published, clip=0.0, total_variation=0.0, l1=0.0)
    objective = Objective(chosen, random_features(1), random_features(1))
    terms = tensors(TERMS, torch.float64)
    assert objective.loss(terms, step, 200).tolist() == pytest.approx([-weight * 0.6], abs=1e-12)


def test_terms_equal_plain_loops():
    guide, views = toy_guide(), random_views(2, 3)
    prompts = [random_features(3, seed=5), random_features(1, seed=6)]
    negatives = [random_features(2, seed=7), random_features(4, seed=8)]
    objective = Objective(settings(), mean_of(prompts), mean_of(negatives))
    terms = measure(objective, guide, views)
    for sample in range(2):
        features = [guide.encode_images(view[None])[0] for view in views[sample]]
        for got, texts in ((terms["positive"], prompts), (terms["negative"], negatives)):
            cosines = [F.cosine_similarity(f, text, dim=0).item() for f in features for text in texts[sample]]
            assert got[sample].item() == pytest.approx(sum(cosines) / len(cosines), abs=1e-12)
        scores = [guide.rate_features(f[None]).item() for f in features]
        assert terms["aesthetic"][sample].item() == pytest.approx(sum(scores) / 30, abs=1e-12)
        assert terms["l1"][sample].item() == pytest.approx(views[sample].abs().mean().item(), abs=1e-12)


def test_mean_cosine_over_prompts_is_the_product_with_their_mean():
    prompts, image = random_features(7), random_features(1, seed=3)
    cosines = [F.cosine_similarity(image[0], prompt, dim=0).item() for prompt in prompts]
    product = (image @ mean_of([prompts]).T).item()
    assert product == pytest.approx(sum(cosines) / 7, abs=1e-12)


def test_without_negative_prompt_the_negative_term_is_zero():
    negative = mean_of([random_features(2), random_features(0)])
    assert negative[1].tolist() == [0.0] * DIM
    terms = measure(Objective(settings(), random_features(2), negative), toy_guide(), random_views(2, 2))
    assert terms["negative"][1].item() == 0
    assert terms["negative"][0].item() != 0


def picture(rows):
    """One view, the same in all channels."""
    return torch.tensor(rows, dtype=torch.float64).expand(1, 3, -1, -1)


@pytest.mark.parametrize(
    ("rows", "value"),
    [
        ([[0, 1], [3, 3]], 3.0),  # along rows (1 + 0) / 2, along columns (3 + 2) / 2
        ([[0, 1, 4], [2, 2, 2]], 8 / 3),  # along rows (1 + 3 + 0 + 0) / 4, along columns (2 + 1 + 2) / 3
        ([[0, 2], [1, 2], [1, 2]], 5 / 3 - 1 / 12),  # along rows (2 + 1 + 1) / 3, along columns (1 + 0 + 0 + 0) / 4
        ([[5, 5], [5, 5]], 0.0),
    ],
)
def test_total_variation_by_hand(rows, value):
    assert total_variation(picture(rows), torch.zeros(1, 1)).tolist() == pytest.approx([value], abs=1e-12)


def test_terms_are_means_over_views():
    views = torch.stack([picture([[0, 1], [3, 3]])[0], picture([[5, 5], [5, 5]])[0]])[None]
    guide = Guide(2, lambda x: x.flatten(1)[:, :DIM], None)
    objective = Objective(settings(aesthetic_sign=0), random_features(1), random_features(1))
    terms = measure(objective, guide, views)
    assert terms["total_variation"].tolist() == pytest.approx([1.5], abs=1e-12)
    assert terms["l1"].tolist() == pytest.approx([(7 / 4 + 5) / 2], abs=1e-12)


def plain_loss(objective, guide, views):
    """The loss of all samples in the plainest way, for autograd to differentiate."""
    total = 0
    for own, positive, negative in zip(views, objective.positive, objective.negative, strict=True):
        features = guide.encode_images(own)
        rows, columns = own.diff(dim=-1).abs().mean(), own.diff(dim=-2).abs().mean()
        cosines = (features @ positive - features @ negative).mean()
        total = total - 2.0 * guide.rate_features(features).mean() / 10 - 5.0 * cosines
        total = total + 0.5 * (rows + columns) + 0.25 * own.abs().mean()
    return total


@pytest.mark.parametrize("views_per_pass", [1, 2, 4, 5, 6])
def test_the_gradient_equals_autograd_s_of_the_plain_loss(views_per_pass):
    guide, views = toy_guide(), random_views(2, 3)
    objective = Objective(settings(), random_features(2, seed=5), random_features(2, seed=6))
    weights = objective.settings.weights(0, 10)
    _, gradient = objective.measure_views(guide, views, weights=weights, views_per_pass=views_per_pass)
    (expected,) = torch.autograd.grad(plain_loss(objective, guide, views.requires_grad_()), views)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-14)


def test_without_gradients_there_is_none():
    objective = Objective(settings(), random_features(1), random_features(1))
    with torch.no_grad():
        _, gradient = objective.measure_views(
            toy_guide(), random_views(1, 2), weights=objective.settings.weights(0, 10), views_per_pass=2
        )
    assert gradient is None


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_sample_does_not_depend_on_its_neighbours(place):
    guide, views = toy_guide(), random_views(3, 2)
    positive, negative = random_features(3, seed=5), random_features(3, seed=6)
    together = measure(Objective(settings(), positive, negative), guide, views)
    one = slice(place, place + 1)
    alone = measure(Objective(settings(), positive[one], negative[one]), guide, views[one])
    for name, value in together.items():
        assert value[place].item() == pytest.approx(alone[name].item(), abs=1e-12), name


def test_highlights_are_what_exceeds_nine_tenths():
    rgb = torch.full((2, 3, 2, 2), 0.9)
    rgb[1, 0, 0, 0], rgb[1, 1, 1, 1], rgb[1, 2, 0, 1] = 1.0, 0.95, 0.5
    assert highlights(rgb).tolist() == pytest.approx([0, (0.1 + 0.05) / 12], abs=1e-7)


def test_only_image_terms_with_a_weight_are_measured():
    rgb = torch.ones(2, 3, 4, 4)
    assert measure_image(rgb, OTHERS) == {}
    assert measure_image(rgb, {"highlights": 60.0})["highlights"].tolist() == pytest.approx([0.1, 0.1])


def test_a_guide_that_does_not_rate_has_no_aesthetic_term():
    guide = toy_guide()
    silent = Guide(SIZE, guide.encode_images, None)
    objective = Objective(settings(aesthetic_sign=0), random_features(2), random_features(2))
    terms, rated = (measure(objective, g, random_views(2, 3)) for g in (silent, guide))
    assert [*terms] == ["positive", "negative", "total_variation", "l1"]
    assert torch.equal(objective.loss(terms, 0, 10), objective.loss(rated, 0, 10))
