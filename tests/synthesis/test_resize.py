import pytest
import torch
from torch.nn import functional as F

from das_ag.synthesis.resize import INTERPOLATIONS, resize, resize_matrix, sum_resized

SIZES = [
    ((7, 5), (12, 9)),
    ((12, 9), (7, 5)),
    ((5, 8), (5, 13)),
    ((8, 5), (13, 5)),
    ((3, 16), (11, 4)),
    ((1, 1), (4, 6)),
    ((4, 6), (1, 1)),
    ((16, 11), (16, 11)),
    ((32, 32), (224, 224)),
]


def interpolate(pictures, size, interpolation):
    options = {} if interpolation == "nearest" else {"align_corners": False, "antialias": False}
    return F.interpolate(pictures, size=size, mode=interpolation, **options)


def random_pictures(size):
    return torch.randn(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(("before", "after"), SIZES)
def test_resize_equals_interpolate(before, after, interpolation):
    pictures = random_pictures(before)
    torch.testing.assert_close(
        resize(pictures, after, interpolation), interpolate(pictures, after, interpolation), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(("before", "after"), SIZES)
def test_gradient_equals_that_of_interpolate(before, after, interpolation):
    ours, theirs = random_pictures(before).requires_grad_(), random_pictures(before).requires_grad_()
    weight = torch.randn(2, 3, *after, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (resize(ours, after, interpolation) * weight).sum().backward()
    (interpolate(theirs, after, interpolation) * weight).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-12)


def test_matrices_by_hand():
    """Two pixels have their centres at 1/4 and 3/4; four have theirs at 1/8, 3/8, 5/8, 7/8."""
    like = torch.zeros((), dtype=torch.float64)
    bilinear = [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]]
    assert resize_matrix(4, 2, "bilinear", like).tolist() == bilinear
    assert resize_matrix(4, 2, "nearest", like).tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
    # Without antialiasing, halving looks at the two pixels beside each new centre alone.
    assert resize_matrix(2, 4, "bilinear", like).tolist() == [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]
    # Cubic convolution with a = -3/4 at distance 1/2 and 3/2: 19/32 and -3/32; the border repeats the edge pixel.
    assert (resize_matrix(2, 4, "bicubic", like) * 32).tolist() == [[16, 19, -3, 0], [0, -3, 19, 16]]


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(("size_out", "size_in"), [(9, 4), (4, 9), (224, 1)])
def test_every_row_of_a_matrix_sums_to_one(size_out, size_in, interpolation):
    rows = resize_matrix(size_out, size_in, interpolation, torch.zeros((), dtype=torch.float64)).sum(dim=1)
    torch.testing.assert_close(rows, torch.ones(size_out, dtype=torch.float64), rtol=0, atol=1e-12)


def test_the_same_size_leaves_pictures_untouched():
    pictures = random_pictures((4, 7))
    assert torch.equal(resize(pictures, (4, 7), "bicubic"), pictures)


MIXED = {
    "one of the same size": [(5, 7)],
    "smaller ones and the size itself": [(1, 1), (2, 2), (3, 4), (5, 7)],
    "twice the size itself": [(5, 7), (5, 7), (2, 3)],
    "as high, and as wide": [(5, 3), (2, 7)],
    "larger ones": [(9, 11), (5, 8)],
}


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(
    ("sizes", "size"),
    [(sizes, (5, 7)) for sizes in MIXED.values()],
    ids=[*MIXED],
)
def test_a_sum_of_resized_pictures_and_its_gradients(sizes, size, interpolation):
    ours, theirs = ([random_pictures(before).requires_grad_() for before in sizes] for _ in range(2))
    weight = torch.randn(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    total = sum_resized(ours, size, interpolation)
    expected = torch.stack([interpolate(picture, size, interpolation) for picture in theirs]).sum(dim=0)
    torch.testing.assert_close(total, expected, rtol=0, atol=1e-11)
    (total * weight).sum().backward()
    (expected * weight).sum().backward()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=0, atol=1e-11)


def test_leading_dimensions_and_dtype_are_kept():
    views = torch.randn(2, 5, 3, 6, 4, generator=torch.Generator().manual_seed(0))
    resized = resize(views, (3, 8))
    assert resized.dtype == torch.float32
    expected = interpolate(views.flatten(0, 1), (3, 8), "bilinear").view(2, 5, 3, 3, 8)
    torch.testing.assert_close(resized, expected, rtol=0, atol=1e-6)
