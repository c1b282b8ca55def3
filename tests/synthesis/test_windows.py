import pytest
import torch
from torch.nn import functional as F

from das_ag.synthesis.resize import INTERPOLATIONS
from das_ag.synthesis.windows import resized_windows


def drawn(*shape, seed, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def plain_windows(pixels, corners, window, size):
    """Windows whose colours stay as they are."""
    one, zero = (torch.full((*corners.shape[:2], 3, 1, 1), value) for value in (1.0, 0.0))
    noise = torch.zeros(*corners.shape[:2], 3, size, size)
    return resized_windows(pixels, corners, window, size, "bilinear", gain=one, offset=zero, noise=noise, deviation=0.0)


def corners_of(batch, views, height, width, window):
    """All four corners of the canvas first, then places by chance."""
    lowest, rightmost = height - window, width - window
    generator = torch.Generator().manual_seed(1)
    y = torch.randint(0, lowest + 1, (batch, views), generator=generator)
    x = torch.randint(0, rightmost + 1, (batch, views), generator=generator)
    corners = torch.stack([y, x], dim=2)
    ends = torch.tensor([[0, 0], [lowest, rightmost], [0, rightmost], [lowest, 0]])
    corners[:, :4] = ends[:views]
    return corners


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("views", [1, 3, 4, 9])
@pytest.mark.parametrize(
    ("window", "size"),
    [(6, 6), (6, 3), (6, 4), (8, 6), (9, 2), (31, 2), (5, 3), (7, 1), (4, 7), (3, 6), (1, 1), (62, 4)],
    ids=str,
)
def test_windows_and_their_gradient_equal_slicing_and_interpolating(window, size, views, interpolation):
    height, width = window + 3, window + 5
    corners = corners_of(2, views, height, width, window)
    ours = drawn(2, 3, height, width, seed=0)
    theirs = ours.clone().requires_grad_()
    ours.requires_grad_()
    gain, offset = (drawn(2, views, 3, 1, 1, seed=seed) for seed in (3, 4))
    noise = drawn(2, views, 3, size, size, seed=5)
    change = {"gain": gain, "offset": offset, "noise": noise, "deviation": 0.3}
    got = resized_windows(ours, corners, window, size, interpolation, **change)
    places = [(n, y, x) for n, row in enumerate(corners.tolist()) for y, x in row]
    slices = torch.stack([theirs[n, :, y : y + window, x : x + window] for n, y, x in places])
    options = {} if interpolation == "nearest" else {"align_corners": False}
    windows = F.interpolate(slices, size=(size, size), mode=interpolation, **options).unflatten(0, (2, views))
    expected = windows * gain + offset + 0.3 * noise
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    assert got.is_contiguous()
    weight = torch.randn(got.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    (got * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize("views", [1, 4])
def test_a_window_of_the_models_size_is_cut_out_to_the_bit(views):
    pixels, corners = drawn(2, 3, 9, 11, seed=0, dtype=torch.float32), corners_of(2, views, 9, 11, 6)
    for sample, row in enumerate(plain_windows(pixels, corners, 6, 6)):
        for view, (y, x) in zip(row, corners[sample].tolist(), strict=True):
            assert torch.equal(view, pixels[sample, :, y : y + 6, x : x + 6])


@pytest.mark.parametrize(("window", "size"), [(6, 6), (6, 4), (7, 5)])
def test_parts_of_larger_tensors_are_taken_as_they_lie(window, size):
    whole, noise = drawn(4, 11, 3, 9, seed=0), drawn(2, 4, 3, size, size, seed=1).transpose(3, 4)
    pixels, corners = whole[1:3].permute(0, 2, 3, 1)[..., :9], corners_of(2, 4, 9, 9, window)
    change = {"gain": drawn(2, 4, 3, 1, 1, seed=2), "offset": drawn(2, 4, 3, 1, 1, seed=3), "deviation": 0.5}
    got = resized_windows(pixels, corners, window, size, "bilinear", noise=noise, **change)
    copied = resized_windows(pixels.contiguous(), corners, window, size, "bilinear", noise=noise.contiguous(), **change)
    torch.testing.assert_close(got, copied, rtol=0, atol=1e-12)
    some = drawn(4, 3, 9, 9, seed=6)[1:3]  # whose memory begins before them
    of_some, of_copy = (
        resized_windows(p, corners, window, size, "bilinear", noise=noise, **change) for p in (some, some.clone())
    )
    torch.testing.assert_close(of_some, of_copy, rtol=0, atol=1e-12)


def test_nothing_that_is_given_is_changed():
    pixels, corners = drawn(1, 3, 3, 3, seed=0), torch.tensor([[[0, 0], [2, 2]]])
    given = {"gain": drawn(1, 2, 3, 1, 1, seed=1), "offset": drawn(1, 2, 3, 1, 1, seed=2)}
    for size in (1, 4):
        whole = {**given, "noise": drawn(1, 2, 3, size, size, seed=3)}
        before = {name: tensor.clone() for name, tensor in whole.items()}
        resized_windows(pixels, corners, 1, size, "bilinear", **whole, deviation=0.5)
        assert all(torch.equal(whole[name], before[name]) for name in whole)


@pytest.mark.parametrize(("window", "size"), [(6, 4), (7, 5)])
def test_a_lost_sample_harms_no_sibling(window, size):
    pixels = torch.randn(3, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    corners = corners_of(3, 4, 9, 9, window)
    whole = pixels.clone().requires_grad_()
    plain_windows(whole, corners, window, size).sum().backward()
    lost = pixels.index_fill(0, torch.tensor([1]), float("nan")).requires_grad_()
    views = plain_windows(lost, corners, window, size)
    (views * views.detach()).sum().backward()  # its gradient is lost too
    assert views[1].isnan().all()
    assert lost.grad[1].isnan().any()
    assert views[::2].isfinite().all()
    assert lost.grad[::2].isfinite().all()
    assert torch.equal(views[::2], plain_windows(pixels, corners, window, size)[::2])


@pytest.mark.parametrize("corner", [(-1, 0), (0, -1), (6, 0), (0, 4)])
def test_windows_beyond_the_picture_are_rejected(corner):
    with pytest.raises(ValueError, match=r"corners: expected within 0…\[5, 3\]"):
        plain_windows(torch.zeros(1, 3, 9, 7), torch.tensor([[corner]]), 4, 4)
