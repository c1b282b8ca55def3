"""That the noise is what it claims to be by its drawn numbers is tested with the views."""

import pytest
import torch

from das_ag.synthesis.noise import noise_root
from das_ag.synthesis.resize import INTERPOLATIONS, resize_matrix


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(("size_out", "size_in"), [(64, 112), (224, 448), (6, 11), (63, 64), (14, 9), (5, 5)])
def test_a_root_has_the_covariance_of_the_resizing(size_out, size_in, interpolation):
    like = torch.zeros((), dtype=torch.float64)
    root, matrix = noise_root(size_out, size_in, interpolation), resize_matrix(size_out, size_in, interpolation, like)
    assert root.shape == (size_out, min(size_out, size_in))
    torch.testing.assert_close(root @ root.T, matrix @ matrix.T, rtol=0, atol=1e-14)
