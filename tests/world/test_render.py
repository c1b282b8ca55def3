import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from das_ag.world import SHAPES, Scenes, render, sample_scenes
from das_ag.world.scenes import NO_FIGURE


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def scene(shape="circle", *, radius=0.6, centre=(0.0, 0.0), angle=0.0, **changes):
    """One figure in red on blue, without nuisances."""
    values = {
        "shape": torch.tensor([[SHAPES.index(shape), NO_FIGURE]]),
        "colour": torch.tensor([[0, NO_FIGURE]]),
        "ground": torch.tensor([5]),
        "relation": torch.tensor([-1]),
        "centre": torch.tensor([[centre, centre]]),
        "radius": torch.full((1, 2), radius),
        "angle": torch.full((1, 2), angle),
        "figure_rgb": torch.tensor([[[0.9, 0.2, 0.1], [0.0, 0.0, 0.0]]]),
        "ground_rgb": torch.tensor([[0.1, 0.2, 0.8]]),
        "noise": torch.zeros(1),
        "blur": torch.zeros(1),
        "shading": torch.zeros(1),
        "shading_angle": torch.zeros(1),
    }
    return Scenes(**(values | changes))


def lens(a, b, d):
    """Area that two discs of radius a and b share whose centres are d apart. Source: plane geometry."""
    x = (d * d + a * a - b * b) / (2 * d)
    y = (d * d + b * b - a * a) / (2 * d)
    return (
        a * a * math.acos(x / a)
        - x * math.sqrt(a * a - x * x)
        + b * b * math.acos(y / b)
        - y * math.sqrt(b * b - y * y)
    )


# Area of each shape of radius 1 from the lengths in its definition, by plane geometry.
AREAS = {
    "circle": math.pi * 0.88**2,
    "ring": math.pi * (0.91**2 - 0.49**2),
    "square": 1.52**2,
    "diamond": 2 * 0.66 * 1,
    "triangle": 3 * math.sqrt(3) * 0.52**2,  # of its inscribed circle's radius
    "cross": 2 * (0.58 * 1.84) - 0.58**2,
    "star": 5 * 1.05 * 0.44 * math.sin(math.pi / 5),  # ten triangles between an outer and an inner corner
    "heart": 2 * 0.80**2 + math.pi * 0.80**2 / 2,  # a square on its corner, half a disc on two of its sides
    "crescent": math.pi * 0.95**2 - lens(0.95, 0.78, math.hypot(0.45, 0.08)),
    "arrow": 0.93 * 0.70 + (0.05 + 0.95) * 0.40,  # head and the shaft up to it
}


@pytest.mark.parametrize("angle", [0.0, 0.2, -0.17])
@pytest.mark.parametrize("shape", SHAPES)
def test_area(shape, angle):
    coverage = render(scene(shape, angle=angle), generator(), size_px=128).coverage
    assert coverage.shape == (1, 2, 128, 128)
    # The frame from -1 to 1 has an area of 4.
    assert coverage[0, 0].mean().item() * 4 == pytest.approx(AREAS[shape] * 0.6**2, rel=0.01)


@pytest.mark.parametrize("size_px", [17, 64])
@pytest.mark.parametrize("shape", SHAPES)
def test_coverage_is_a_share_of_each_pixel(shape, size_px):
    coverage = render(scene(shape), generator(), size_px=size_px).coverage
    assert coverage.min() == 0
    assert coverage.max() == 1
    assert ((coverage > 0) & (coverage < 1)).any()  # edges are smooth
    assert not coverage[0, 1].any()  # there is no second figure


def test_an_edge_pixel_is_covered_by_its_share():
    """A square whose right edge lies at x = 0.456: 46.592 of 64 pixels from the left."""
    coverage = render(scene("square", radius=0.6), generator()).coverage[0, 0, 32]
    assert coverage[45:48].tolist() == pytest.approx([1, 0.592, 0], abs=1e-4)
    assert coverage[16:19].tolist() == pytest.approx([0, 0.592, 1], abs=1e-4)


@pytest.mark.parametrize("centre", [(0.3, 0.0), (0.0, 0.25), (-0.2, -0.3)])
@pytest.mark.parametrize("shape", ["circle", "ring", "square", "diamond", "cross"])
def test_a_figure_stands_at_its_centre(shape, centre):
    """x counts rightwards, y upwards."""
    coverage = render(scene(shape, radius=0.5, centre=centre), generator()).coverage[0, 0]
    axis = (torch.arange(64) + 0.5) / 32 - 1
    x = (coverage * axis[None, :]).sum() / coverage.sum()
    y = -(coverage * axis[:, None]).sum() / coverage.sum()
    assert (x.item(), y.item()) == pytest.approx(centre, abs=2e-3)


def test_a_positive_angle_turns_counterclockwise():
    """The arrow points right; a quarter turn makes it point up, where its head is broadest."""
    turned = render(scene("arrow", angle=math.pi / 2), generator()).coverage[0, 0]
    plain = render(scene("arrow"), generator()).coverage[0, 0]
    torch.testing.assert_close(turned, plain.T.flip(0), rtol=0, atol=1e-4)
    assert plain[:, 32:].sum() > plain[:, :32].sum()


@pytest.mark.parametrize("shape", ["ring", "crescent"])
def test_a_hole_is_a_hole(shape):
    """Empty where a disc would be full: in the ring's middle, on the crescent's inner side."""
    coverage = render(scene(shape, radius=0.8), generator()).coverage[0, 0]
    hole = {"ring": (32, 32), "crescent": (32, 32 + 11)}[shape]
    assert coverage[hole] == 0


def test_figures_of_a_pair_lie_as_their_relation_says_and_do_not_overlap():
    scenes = sample_scenes(300, generator(), pair_fraction=1.0, nuisance=0.0)
    coverage = render(scenes, generator()).coverage
    assert coverage.sum(dim=1).max() <= 1
    axis = torch.arange(64.0)
    area = coverage.sum(dim=(2, 3))
    assert (area > 0.01 * 64 * 64).all()
    column = (coverage.sum(dim=2) * axis).sum(dim=-1) / area
    row = (coverage.sum(dim=3) * axis).sum(dim=-1) / area
    left, above = scenes.relation == 0, scenes.relation == 1
    assert (column[left, 0] < column[left, 1]).all()
    assert (row[above, 0] < row[above, 1]).all()


def test_colours_without_nuisances():
    pictures = render(scene("square"), generator())
    full, empty = pictures.coverage[0, 0] == 1, pictures.coverage[0, 0] == 0
    rgb = pictures.rgb[0]
    torch.testing.assert_close(rgb[:, full].amin(dim=1), torch.tensor([0.9, 0.2, 0.1]), rtol=0, atol=1e-5)
    torch.testing.assert_close(rgb[:, full].amax(dim=1), torch.tensor([0.9, 0.2, 0.1]), rtol=0, atol=1e-5)
    torch.testing.assert_close(rgb[:, empty].amin(dim=1), torch.tensor([0.1, 0.2, 0.8]), rtol=0, atol=1e-5)
    torch.testing.assert_close(rgb[:, empty].amax(dim=1), torch.tensor([0.1, 0.2, 0.8]), rtol=0, atol=1e-5)


def test_shading_falls_linearly_across_the_picture():
    """By 40 % from the lower left corner to the upper right one, by 20 % in the middle."""
    grey = scene(figure_rgb=torch.full((1, 2, 3), 0.5), ground_rgb=torch.full((1, 3), 0.5),
                 shading=torch.tensor([0.4]), shading_angle=torch.tensor([math.pi / 4]))  # fmt: skip
    rgb = render(grey, generator(), size_px=65).rgb[0, 0]
    assert rgb[32, 32].item() == pytest.approx(0.5 * 0.8, abs=1e-4)
    assert rgb[64, 0].item() == pytest.approx(0.5 * (1 - 0.4 * 0.5 / 65), abs=1e-4)  # half a pixel from the corner
    assert rgb[0, 64].item() == pytest.approx(0.5 * (1 - 0.4 * 64.5 / 65), abs=1e-4)


@pytest.mark.parametrize("size_px", [64, 96])
@pytest.mark.parametrize("std_px", [0.8, 2.5])
def test_blur_equals_scipys(std_px, size_px):
    """The ground is even at the border, so that conventions about the border do not matter."""
    clean = render(scene("square", radius=0.4), generator(), size_px=size_px).rgb[0].numpy()
    blurred = render(scene("square", radius=0.4, blur=torch.tensor([std_px])), generator(), size_px=size_px).rgb[0]
    std = std_px * size_px / 64
    expected = np.stack([gaussian_filter(channel, std, mode="nearest", truncate=8) for channel in clean])
    np.testing.assert_allclose(blurred.numpy(), expected, rtol=0, atol=1e-3)


def test_noise_has_its_standard_deviation():
    grey = scene(figure_rgb=torch.full((1, 2, 3), 0.5), ground_rgb=torch.full((1, 3), 0.5), noise=torch.tensor([0.1]))
    rgb = render(grey, generator()).rgb
    # 12288 values: the standard error of their standard deviation is 0.6 %; nothing reaches 0 or 1, five deviations off
    assert rgb.std().item() == pytest.approx(0.1, rel=0.03)
    assert rgb.mean().item() == pytest.approx(0.5, abs=0.004)


def test_pictures_stay_within_zero_and_one():
    scenes = sample_scenes(200, generator(), nuisance=1.0)
    rgb = render(scenes, generator()).rgb
    assert rgb.shape == (200, 3, 64, 64)
    assert rgb.min() == 0
    assert rgb.max() == 1


def test_the_generator_decides_about_the_noise():
    scenes = sample_scenes(5, generator(), nuisance=1.0)
    assert torch.equal(render(scenes, generator(3)).rgb, render(scenes, generator(3)).rgb)
    assert torch.equal(render(scenes[:1], generator(3)).rgb, render(scenes, generator(3)).rgb[:1])


def test_a_scene_looks_the_same_in_any_batch():
    scenes = dataclasses.replace(sample_scenes(8, generator()), noise=torch.zeros(8))
    together = render(scenes, generator()).rgb
    for index in (0, 3, 7):
        alone = render(scenes[index : index + 1], generator()).rgb[0]
        torch.testing.assert_close(together[index], alone, rtol=0, atol=1e-6)
