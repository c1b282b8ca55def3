import pytest
import torch

from das_ag.models.activation import QuickGELU

VALUES = torch.cat([torch.linspace(-12, 12, 4001), torch.tensor([0.0, -200.0, 200.0])])


def plain(x):
    return x * torch.sigmoid(1.702 * x)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_function_is_clips_to_the_bit(dtype):
    x = VALUES.to(dtype)
    assert torch.equal(QuickGELU()(x), plain(x))
    assert torch.equal(QuickGELU()(x.clone().requires_grad_()), plain(x))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 5e-7)])
def test_its_gradient_is_that_of_autograd(dtype, tolerance):
    ours, theirs = (VALUES.to(dtype, copy=True).requires_grad_() for _ in range(2))
    weight = torch.randn(len(VALUES), dtype=dtype, generator=torch.Generator().manual_seed(0))
    (QuickGELU()(ours) * weight).sum().backward()
    (plain(theirs) * weight).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=tolerance * weight.abs().max().item())


def test_in_bfloat16_it_is_no_less_exact_than_autograd():
    rounded = VALUES.bfloat16()
    exact, ours, theirs = (
        rounded.to(dtype, copy=True).requires_grad_() for dtype in (torch.float64, *[torch.bfloat16] * 2)
    )
    for values, function in ((exact, plain), (ours, QuickGELU()), (theirs, plain)):
        function(values).sum().backward()
    errors = [(values.grad.double() - exact.grad).abs().mean().item() for values in (ours, theirs)]
    assert errors[0] <= errors[1] * 1.1


def test_one_tensor_is_kept_for_the_gradient():
    kept = []
    x = torch.randn(5, 7).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.shape) or tensor, lambda t: t):
        QuickGELU()(x)
    assert kept == [(5, 7)]
