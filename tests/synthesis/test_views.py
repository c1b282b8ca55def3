import pytest
import torch
from torch.nn import functional as F

from das_ag.synthesis.pyramid import seen_colours
from das_ag.synthesis.resize import INTERPOLATIONS, resize, resize_matrix
from das_ag.synthesis.schedules import Schedule
from das_ag.synthesis.views import (
    ViewGeometry,
    ViewNumbers,
    ViewSettings,
    draw_view_numbers,
    noise_scale,
    plain_view,
    random_views,
    windows_at,
)

CONSTANT = Schedule("linear", 0.1, 0.1, 0.5)


def settings(**changes):
    values = {"count": 4, "max_shift_px": 3, "noise": CONSTANT, "colour_shift": CONSTANT, "augment": True}
    return ViewSettings(**(values | changes))


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def random_numbers(batch, views, border, geometry, dtype=torch.float64):
    """Numbers, and the noise on the window of which theirs is what arrives."""
    numbers = draw_view_numbers(settings(count=views, max_shift_px=border), geometry, generators(*range(batch)))
    side = geometry.window_px
    noise = torch.randn(batch, views, 3, side, side, dtype=dtype, generator=torch.Generator().manual_seed(8))
    arriving = resize(noise, (geometry.image_size_px, geometry.image_size_px), geometry.interpolation)
    return ViewNumbers(numbers.square_px, numbers.gain.to(dtype), numbers.offset.to(dtype), arriving), noise


def published_view(canvas, numbers, window_noise, place, *, border, noise, colour_shift, image_size_px, mode):
    """One view as the published program makes it: roll, colour shift, noise all over, cut, resize."""
    _, top, left = numbers.square_px[place].tolist()
    dy, dx = border - top, border - left
    view = torch.roll(canvas, (dy, dx), dims=(1, 2))
    u, v = colour_shift * numbers.gain[place], colour_shift * numbers.offset[place]
    view = view * torch.exp(u) + v
    view = view + noise * F.pad(window_noise[place], [border] * 4, value=1e6)  # its border must never be seen
    size = canvas.shape[-1]
    view = view[:, border : size - border, border : size - border]
    options = {} if mode == "nearest" else {"align_corners": False}
    return F.interpolate(view[None], size=(image_size_px, image_size_px), mode=mode, **options)[0]


# PyTorch's own resizing computes its weights in the dtype of the picture, which costs some digits in float32.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 5e-6)])
@pytest.mark.parametrize(
    ("batch", "views", "border", "window", "resized"),
    [
        (2, 4, 3, 10, (10, "bilinear")),
        (3, 2, 2, 9, (14, "bilinear")),
        (1, 1, 4, 11, (6, "bicubic")),
        (1, 3, 0, 7, (5, "nearest")),
        (1, 2, 16, 224, (224, "bilinear")),
    ],
)
def test_views_equal_the_published_ones(*, batch, views, border, window, resized, dtype, tolerance):
    size = window + 2 * border
    image_size_px, mode = resized
    pixels = torch.randn(batch, 3, size, size, dtype=dtype, generator=torch.Generator().manual_seed(9))
    geometry = ViewGeometry(window, image_size_px, mode)
    numbers, window_noise = random_numbers(batch, views, border, geometry, dtype)
    ours = random_views(pixels, numbers, 0.35, 0.2, geometry)
    for sample in range(batch):
        for view in range(views):
            theirs = published_view(
                pixels[sample], numbers, window_noise, (sample, view),
                border=border, noise=0.35, colour_shift=0.2, image_size_px=image_size_px, mode=mode,
            )  # fmt: skip
            torch.testing.assert_close(ours[sample, view], theirs, rtol=0, atol=tolerance)


def test_a_positive_shift_moves_the_picture_down_and_right():
    pixels = torch.zeros(1, 3, 7, 7)
    pixels[0, :, 3, 3] = 1
    shift = windows_at(torch.tensor([[[1, -2]]]), 3, 2)
    numbers = ViewNumbers(shift, torch.zeros(1, 1, 3, 1, 1), torch.zeros(1, 1, 3, 1, 1), torch.zeros(1, 1, 3, 3, 3))
    view = random_views(pixels, numbers, 0.0, 0.0, ViewGeometry(3, 3))
    assert view.sum() == 0  # moved out of the window, which shows rows and columns 2 to 4
    shift = windows_at(torch.tensor([[[1, -1]]]), 3, 2)
    numbers = ViewNumbers(shift, numbers.gain, numbers.offset, numbers.noise)
    view = random_views(pixels, numbers, 0.0, 0.0, ViewGeometry(3, 3))
    assert view[0, 0, 0].tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0]]


def test_colour_change_by_hand():
    """2·exp(0.1·0.5) + 0.1·(-1) = 2.0025422."""
    pixels = torch.full((1, 3, 4, 4), 2.0)
    gain, offset = torch.full((1, 1, 3, 1, 1), 0.5), torch.full((1, 1, 3, 1, 1), -1.0)
    numbers = ViewNumbers(torch.tensor([[[4, 0, 0]]]), gain, offset, torch.ones(1, 1, 3, 4, 4))
    view = random_views(pixels, numbers, 0.0, 0.1, ViewGeometry(4, 4))
    torch.testing.assert_close(view, torch.full((1, 1, 3, 4, 4), 2.0025422), rtol=0, atol=1e-6)
    with_noise = random_views(pixels, numbers, 0.25, 0.1, ViewGeometry(4, 4))
    torch.testing.assert_close(with_noise, torch.full((1, 1, 3, 4, 4), 2.2525422), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("window", "image"), [(6, 6), (6, 3), (7, 5)])
def test_the_model_sees_a_full_gamut_normalised(window, image):
    """What it sees of a canvas in all of RGB is what it sees of the same colours, normalised beforehand."""
    canvas = torch.rand(2, 3, 10, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    scale, offset = seen_colours("full", canvas)
    full, normalised = (ViewGeometry(window, image, gamut=gamut) for gamut in ("full", "clip_normalised"))
    numbers, _ = random_numbers(2, 3, 1, full)
    seen = random_views(canvas, numbers, 0.2, 0.3, full)
    torch.testing.assert_close(seen, random_views(canvas * scale + offset, numbers, 0.2, 0.3, normalised))
    torch.testing.assert_close(plain_view(canvas, full), plain_view(canvas * scale + offset, normalised))


def test_ranges_of_the_drawn_numbers():
    numbers = draw_view_numbers(settings(count=2000, max_shift_px=3), ViewGeometry(2, 2), generators(0, 1))
    assert numbers.square_px[..., 0].unique().tolist() == [2]
    assert numbers.square_px[..., 1:].unique().tolist() == [0, 1, 2, 3, 4, 5, 6]
    for values in (numbers.gain, numbers.offset):  # uniform in [-1, 1): mean 0, variance 1/3
        assert values.shape == (2, 2000, 3, 1, 1)
        assert -1 <= values.min() < -0.999 < 0.999 < values.max() <= 1
        assert values.mean().item() == pytest.approx(0, abs=0.02)
        assert values.var().item() == pytest.approx(1 / 3, abs=0.01)
    assert numbers.noise.shape == (2, 2000, 3, 2, 2)
    assert numbers.noise.mean().item() == pytest.approx(0, abs=0.02)
    assert numbers.noise.std().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("shift", [1, 16, 32])
def test_windows_reach_both_ends_of_both_axes(shift):
    numbers = draw_view_numbers(settings(count=1000, max_shift_px=shift), ViewGeometry(1, 1), generators(0))
    assert numbers.square_px[..., 1:].amin(dim=(0, 1)).tolist() == [0, 0]
    assert numbers.square_px[..., 1:].amax(dim=(0, 1)).tolist() == [2 * shift, 2 * shift]


def test_no_shift_is_possible():
    numbers = draw_view_numbers(settings(max_shift_px=0), ViewGeometry(2, 2), generators(0))
    assert numbers.square_px.tolist() == [[[2, 0, 0]] * 4]


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(("window", "image"), [(11, 7), (12, 6), (9, 6), (6, 6), (7, 11), (7, 6)])
def test_noise_has_the_variance_of_noise_that_was_drawn_on_the_window(window, image, interpolation):
    """Drawn there, resized by torch: its mean square over 2,000 pictures and all pixels, to four standard errors."""
    options = {} if interpolation == "nearest" else {"align_corners": False}
    drawn = torch.randn(2000, 3, window, window, generator=torch.Generator().manual_seed(1))
    resized = F.interpolate(drawn, size=(image, image), mode=interpolation, **options).square().mean(dim=(1, 2, 3))
    tolerance = 4 * resized.std().item() / 2000**0.5
    geometry = ViewGeometry(window, image, interpolation)
    assert noise_scale(geometry) ** 2 == pytest.approx(resized.mean().item(), abs=tolerance)
    noise = draw_view_numbers(settings(count=2000), geometry, generators(0)).noise
    assert noise.square().mean().item() == pytest.approx(resized.mean().item(), abs=2 * tolerance)


def test_noise_at_the_published_sizes_has_the_very_distribution():
    """448 to 224 px: each pixel is the mean of four that no other shares, so that the noise is white."""
    matrix = resize_matrix(224, 448, "bilinear", torch.zeros((), dtype=torch.float64))
    torch.testing.assert_close(matrix @ matrix.T, 0.5 * torch.eye(224, dtype=torch.float64))
    assert noise_scale(ViewGeometry(448, 224)) == 0.5
    assert noise_scale(ViewGeometry(224, 224)) == 1.0


@pytest.mark.parametrize("geometry", [ViewGeometry(6, 6), ViewGeometry(11, 6), ViewGeometry(6, 9)])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_sample_draws_the_same_numbers_whatever_its_batch(place, geometry):
    seeds = (4, 0, 11)
    in_batch, by_itself = generators(*seeds), generators(seeds[place])
    for _ in range(3):  # steps
        together = draw_view_numbers(settings(crops=0.5), geometry, in_batch)
        alone = draw_view_numbers(settings(crops=0.5), geometry, by_itself)
        for name, values in vars(together).items():
            assert torch.equal(values[place : place + 1], getattr(alone, name)), name


def test_a_view_that_is_not_augmented_is_the_only_one():
    assert (settings(augment=True).views_in_step, settings(augment=False).views_in_step) == (4, 1)


@pytest.mark.parametrize(("size", "border", "image_size_px"), [(11, 2, 7), (9, 0, 12), (256, 16, 224)])
def test_plain_view_is_the_middle_resized(size, border, image_size_px):
    pixels = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    middle = pixels[:, :, border : size - border, border : size - border]
    expected = F.interpolate(middle, size=(image_size_px, image_size_px), mode="bilinear", align_corners=False)
    torch.testing.assert_close(
        plain_view(pixels, ViewGeometry(size - 2 * border, image_size_px)), expected[:, None], rtol=0, atol=1e-5
    )


def test_without_crops_no_number_is_drawn_for_them():
    geometry = ViewGeometry(10, 10)
    plain, cropped = (draw_view_numbers(settings(crops=share), geometry, generators(7)) for share in (0.0, 0.5))
    assert plain.square_px[..., 0].unique().tolist() == [10]
    assert torch.equal(plain.square_px[:, :2], cropped.square_px[:, :2])
    assert torch.equal(plain.noise, cropped.noise)


@pytest.mark.parametrize(
    ("count", "share", "crops"), [(4, 0.5, 2), (4, 1.0, 4), (3, 0.5, 2), (1, 0.25, 0), (8, 0.25, 2)]
)
def test_a_share_of_the_views_are_crops(count, share, crops):
    assert settings(count=count, crops=share).crops_in_step == crops


def test_crops_lie_within_the_canvas_and_have_the_sizes_asked_for():
    canvas_px, s = 160, settings(count=400, max_shift_px=16, crops=1.0, crop_size=(0.4, 0.9))
    (crops,) = draw_view_numbers(s, ViewGeometry(canvas_px - 32, 8), generators(1)).square_px
    side, top, left = crops.T
    assert (side.min(), side.max()) == (64, 144)  # 0.4 and 0.9 of 160
    assert not (side % 4).any()
    for place in (top, left):
        assert place.min() == 0
        assert (place + side).max() == canvas_px
    assert abs(side.float().mean() - 104) < 3  # uniform between them: standard error 1.2


def test_a_crop_is_cut_and_resized_as_torch_does_it_then_coloured_then_made_noisy():
    s, geometry = settings(count=3, max_shift_px=2, crops=0.7, crop_size=(0.5, 0.8)), ViewGeometry(16, 12)
    numbers = draw_view_numbers(s, geometry, generators(3, 4))
    canvas = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(0)) * 2 - 1
    views = random_views(canvas, numbers, 0.3, 0.2, geometry)
    assert views.shape == (2, 3, 3, 12, 12)
    assert numbers.square_px[:, 0, 0].tolist() == [16, 16]
    for sample in range(2):
        for view, (side, top, left) in enumerate(numbers.square_px[sample].tolist()):
            cut = canvas[sample : sample + 1, :, top : top + side, left : left + side]
            expected = F.interpolate(cut, size=(12, 12), mode="bilinear", align_corners=False)[0]
            expected = expected * (0.2 * numbers.gain[sample, view]).exp() + 0.2 * numbers.offset[sample, view]
            expected = expected + 0.3 * numbers.noise[sample, view]
            torch.testing.assert_close(views[sample, view], expected, rtol=0, atol=2e-6)


def test_crops_have_the_gradient_that_differences_give():
    s, geometry = settings(count=2, max_shift_px=1, crops=1.0, crop_size=(0.5, 1.0)), ViewGeometry(6, 5)
    numbers = draw_view_numbers(s, geometry, generators(5))
    numbers = ViewNumbers(numbers.square_px, numbers.gain.double(), numbers.offset.double(), numbers.noise.double())
    canvas = torch.rand(1, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda c: random_views(c, numbers, 0.1, 0.1, geometry), canvas)
