import importlib.util
import sys
import types

import pytest
import torch
from torch import nn
from torch.backends import cuda
from torch.nn import functional as F

from das_ag.errors import UserError
from das_ag.models import attention as module
from das_ag.models.attention import KERNELS, SelfAttention, attend, check_kernel, torch_kernel

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
SHAPES = pytest.mark.parametrize(
    ("tokens", "n", "width", "heads"), [(7, 3, 24, 4), (13, 1, 12, 1), (1, 2, 8, 8), (50, 1, 64, 2)]
)
CPU, GPU = torch.device("cpu"), torch.device("cuda")


def random_numbers(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def random_attention(width=24, heads=4, dtype=torch.float32):
    """torch's module, its biases random too: they start as zeros, which would hide a mistake."""
    attention = nn.MultiheadAttention(width, heads, dtype=dtype).eval()
    with torch.no_grad():
        for seed, parameter in enumerate(attention.parameters()):
            parameter.copy_(random_numbers(*parameter.shape, dtype=dtype, seed=seed) / parameter.shape[-1] ** 0.5)
    return attention


def sequence(tokens=7, n=3, width=24, dtype=torch.float32):
    """As CLIP hands it over: (tokens, n, width) in the memory of (n, tokens, width)."""
    return random_numbers(n, tokens, width, dtype=dtype, seed=9).permute(1, 0, 2).requires_grad_()


def value_and_gradient(layer, x):
    value, weights = layer(x, x, x, need_weights=False, attn_mask=None)
    assert weights is None
    (gradient,) = torch.autograd.grad((value * random_numbers(*value.shape, dtype=value.dtype, seed=10)).sum(), x)
    return value, gradient


def assert_same(layer, attention, x, tolerance):
    for ours, torchs in zip(value_and_gradient(layer, x), value_and_gradient(attention, x), strict=True):
        assert torchs.abs().max() > 0.01
        torch.testing.assert_close(ours, torchs, rtol=tolerance, atol=tolerance)


@pytest.fixture
def flash_attn(monkeypatch):
    """A package of that name with plain attention in its layout; notes what it was called with."""
    package = types.ModuleType("flash_attn")
    package.calls = []

    def flash_attn_func(q, k, v, **options):
        package.calls.append((tuple(q.shape), options))
        scores = torch.einsum("nqhd,nkhd->nhqk", q, k) / q.shape[-1] ** 0.5
        return torch.einsum("nhqk,nkhd->nqhd", scores.softmax(dim=-1), v)

    package.flash_attn_func = flash_attn_func
    monkeypatch.setitem(sys.modules, "flash_attn", package)
    return package


@pytest.fixture
def installed(monkeypatch):
    """Makes flash-attn look installed, or not."""
    find_spec = importlib.util.find_spec

    def set_installed(there):
        answer = object() if there else None
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: answer if name == "flash_attn" else find_spec(name)
        )

    return set_installed


@SHAPES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kernel", ["sdpa", "math"])
def test_it_equals_torchs_own_module(kernel, dtype, tokens, n, width, heads):
    attention = random_attention(width, heads, dtype)
    assert_same(SelfAttention(attention, kernel), attention, sequence(tokens, n, width, dtype), TOLERANCE[dtype])


@SHAPES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_equals_torchs_own_module_with_flash_attn(flash_attn, dtype, tokens, n, width, heads):
    attention = random_attention(width, heads, dtype)
    layer = SelfAttention(attention, "flash_attn")
    assert_same(layer, attention, sequence(tokens, n, width, dtype), TOLERANCE[dtype])
    assert flash_attn.calls == [((n, tokens, heads, width // heads), {"deterministic": True})]


@SHAPES
@pytest.mark.parametrize("kernel", ["sdpa", "math"])
def test_it_equals_torchs_own_module_whose_batch_is_first(kernel, tokens, n, width, heads):
    attention = random_attention(width, heads)
    attention.batch_first = True
    x = sequence(tokens, n, width).detach().transpose(0, 1).contiguous().requires_grad_()
    assert_same(SelfAttention(attention, kernel), attention, x, 1e-6)


def test_it_equals_torchs_own_module_without_biases():
    attention = nn.MultiheadAttention(24, 4, bias=False).eval()
    assert_same(SelfAttention(attention, "sdpa"), attention, sequence(), 1e-6)


@pytest.mark.parametrize("kernel", ["sdpa", "math"])
def test_in_bfloat16_it_equals_torchs_own_module_to_rounding(kernel):
    attention = random_attention(dtype=torch.bfloat16)
    assert_same(SelfAttention(attention, kernel), attention, sequence(dtype=torch.bfloat16), 3e-2)


def test_it_keeps_the_weights_and_their_names():
    attention = random_attention()
    layer = SelfAttention(attention, "sdpa")
    ours, torchs = dict(layer.named_parameters()), dict(attention.named_parameters())
    assert ours.keys() == torchs.keys()
    assert all(ours[name] is torchs[name] for name in torchs)


def test_it_follows_its_module_to_another_type():
    layer = SelfAttention(random_attention(), "sdpa")
    value, _ = layer.double()(sequence(dtype=torch.float64))
    assert value.dtype == torch.float64


@pytest.mark.parametrize("kernel", KERNELS)
def test_attention_is_the_mean_of_values_weighted_by_the_softmax_of_products(flash_attn, kernel):
    q, k, v = (random_numbers(2, 3, 5, 4, dtype=torch.float64, seed=seed) for seed in range(3))
    expected = torch.empty_like(q)
    for i in range(2):
        for head in range(3):
            weights = (q[i, head] @ k[i, head].T / 2).exp()
            expected[i, head] = weights @ v[i, head] / weights.sum(dim=1, keepdim=True)
    torch.testing.assert_close(attend(q, k, v, kernel), expected, rtol=0, atol=1e-12)


def enabled_kernels():
    return {
        "flash": cuda.flash_sdp_enabled(),
        "memory efficient": cuda.mem_efficient_sdp_enabled(),
        "cudnn": cuda.cudnn_sdp_enabled(),
        "math": cuda.math_sdp_enabled(),
    }


ONLY_MATH = {"flash": False, "memory efficient": False, "cudnn": False, "math": True}


def test_math_allows_no_other_kernel():
    before = enabled_kernels()
    assert before["flash"]
    with torch_kernel("math"):
        assert enabled_kernels() == ONLY_MATH
    assert enabled_kernels() == before


def test_kernels_are_allowed_again_after_an_error():
    before = enabled_kernels()
    with pytest.raises(ZeroDivisionError), torch_kernel("math"):
        raise ZeroDivisionError
    assert enabled_kernels() == before


@pytest.mark.parametrize("kernel", ["sdpa", "flash_attn"])
def test_other_kernels_leave_torchs_choice_alone(kernel):
    before = enabled_kernels()
    with torch_kernel(kernel):
        assert enabled_kernels() == before


@pytest.mark.parametrize("kernel", ["sdpa", "math"])
def test_the_module_runs_under_its_kernel(monkeypatch, kernel):
    seen, plain, before = [], F.scaled_dot_product_attention, enabled_kernels()

    def spy(q, k, v):
        seen.append(enabled_kernels())
        return plain(q, k, v)

    monkeypatch.setattr(module.F, "scaled_dot_product_attention", spy)
    SelfAttention(random_attention(), kernel)(sequence())
    assert seen == [ONLY_MATH if kernel == "math" else before]


@pytest.mark.parametrize("device", [CPU, GPU])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kernel", ["sdpa", "math"])
def test_torchs_kernels_work_everywhere(installed, kernel, dtype, device):
    installed(False)
    check_kernel(kernel, "models.attention", device, dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_flash_attn_works_on_cuda_at_half_precision(installed, dtype):
    installed(True)
    check_kernel("flash_attn", "models.attention", torch.device("cuda", 1), dtype)


@pytest.mark.parametrize("kernel", ["flash", "", "SDPA"])
def test_an_unknown_kernel(kernel):
    with pytest.raises(UserError) as caught:
        check_kernel(kernel, "models.attention", CPU, torch.float32)
    assert str(caught.value) == (
        f"models.attention: expected one of sdpa, math, flash_attn, got {kernel!r}; choose one of them."
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_flash_attn_without_a_gpu(installed, dtype):
    installed(True)
    with pytest.raises(UserError) as caught:
        check_kernel("flash_attn", "models.attention", CPU, dtype)
    assert str(caught.value) == (
        "models.attention: expected a CUDA device for flash_attn, got cpu; use models.attention=sdpa."
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_flash_attn_at_full_precision(installed, dtype):
    installed(True)
    with pytest.raises(UserError) as caught:
        check_kernel("flash_attn", "evaluator.attention", GPU, getattr(torch, dtype))
    assert str(caught.value) == (
        f"evaluator.attention: expected bfloat16 for flash_attn, got {dtype}; set the precision to bfloat16, or use "
        "evaluator.attention=sdpa."
    )


def test_flash_attn_that_is_not_installed(installed):
    installed(False)
    with pytest.raises(UserError) as caught:
        check_kernel("flash_attn", "models.attention", GPU, torch.bfloat16)
    assert str(caught.value) == (
        "models.attention: the package flash-attn is not installed; install it with uv sync --extra paper --extra "
        "compile, or use models.attention=sdpa."
    )
