import pytest
import torch
from torch.nn import functional as F

from das_ag.synthesis.resize import INTERPOLATIONS
from das_ag.synthesis.windows import resized_windows


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
    ours = torch.randn(2, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    theirs = ours.clone().requires_grad_()
    ours.requires_grad_()
    got = resized_windows(ours, corners, window, size, interpolation)
    places = [(n, y, x) for n, row in enumerate(corners.tolist()) for y, x in row]
    slices = torch.stack([theirs[n, :, y : y + window, x : x + window] for n, y, x in places])
    options = {} if interpolation == "nearest" else {"align_corners": False}
    expected = F.interpolate(slices, size=(size, size), mode=interpolation, **options).unflatten(0, (2, views))
    if window == size:
        assert torch.equal(got, expected)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    assert got.is_contiguous()
    weight = torch.randn(got.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    (got * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("window", "size"), [(6, 4), (7, 5)])
def test_a_lost_sample_harms_no_sibling(window, size):
    pixels = torch.randn(3, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    corners = corners_of(3, 4, 9, 9, window)
    whole = pixels.clone().requires_grad_()
    resized_windows(whole, corners, window, size).sum().backward()
    lost = pixels.index_fill(0, torch.tensor([1]), float("nan")).requires_grad_()
    views = resized_windows(lost, corners, window, size)
    (views * views.detach()).sum().backward()  # its gradient is lost too
    assert views[1].isnan().all()
    assert lost.grad[1].isnan().any()
    assert views[::2].isfinite().all()
    assert lost.grad[::2].isfinite().all()
    assert torch.equal(views[::2], resized_windows(pixels, corners, window, size)[::2])


@pytest.mark.parametrize("corner", [(-1, 0), (0, -1), (6, 0), (0, 4)])
def test_windows_beyond_the_picture_are_rejected(corner):
    with pytest.raises(ValueError, match=r"corners: expected within 0…\[5, 3\]"):
        resized_windows(torch.zeros(1, 3, 9, 7), torch.tensor([[corner]]), 4, 4)
