"""Attention kernels, which compute softmax(Q·Kᵀ/√d)·V; their results are equal up to rounding."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from das_ag.errors import UserError

KERNELS = ("sdpa", "math", "flash_attn")
"""`sdpa`: torch's fastest suitable kernel. `math`: plain products and softmax. `flash_attn`: the package flash-attn."""
IN_TRANSFORMERS = {"sdpa": "sdpa", "math": "sdpa", "flash_attn": "flash_attention_2"}
"""Names of the kernels in transformers; for `math`, torch selects the kernel within `sdpa`."""


def check_kernel(kernel: str, option: str, device: torch.device, dtype: torch.dtype) -> None:
    """Checks that a kernel can be used.

    Raises:
        UserError: the kernel is unknown, not installed, or does not support this device or precision.
    """
    if kernel not in KERNELS:
        raise UserError(f"{option}: expected one of {', '.join(KERNELS)}, got {kernel!r}; choose one of them.")
    if kernel != "flash_attn":
        return
    if device.type != "cuda":
        raise UserError(f"{option}: expected a CUDA device for flash_attn, got {device.type}; use {option}=sdpa.")
    if dtype not in (torch.float16, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        raise UserError(
            f"{option}: expected bfloat16 for flash_attn, got {name}; set the precision to bfloat16, or use "
            f"{option}=sdpa."
        )
    if importlib.util.find_spec("flash_attn") is None:
        raise UserError(
            f"{option}: the package flash-attn is not installed; install it with uv sync --extra paper --extra "
            f"compile, or use {option}=sdpa."
        )


def attend(
    q: Float[Tensor, "n heads tokens d"],
    k: Float[Tensor, "n heads tokens d"],
    v: Float[Tensor, "n heads tokens d"],
    kernel: str,
) -> Float[Tensor, "n heads tokens d"]:
    """Computes attention from every token to every token."""
    if kernel == "flash_attn":
        from flash_attn import flash_attn_func

        q, k, v = (x.transpose(1, 2) for x in (q, k, v))  # its layout is (n, tokens, heads, d)
        # Without `deterministic`, the order of sums in its backward pass varies.
        return flash_attn_func(q, k, v, deterministic=True).transpose(1, 2)
    with torch_kernel(kernel):
        return F.scaled_dot_product_attention(q, k, v)


@contextlib.contextmanager
def torch_kernel(kernel: str) -> Iterator[None]:
    """For `sdpa`, torch selects its attention kernel; for `math`, it may use only plain products and softmax."""
    if kernel != "math":
        yield
        return
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(SDPBackend.MATH):
        yield


class SelfAttention(nn.Module):
    """Replaces an `nn.MultiheadAttention` with attention from all tokens to all tokens.

    Args:
        attention: the module to replace, which provides the weights.
    """

    def __init__(self, attention: nn.MultiheadAttention, kernel: str) -> None:
        super().__init__()
        self.kernel, self.heads, self.batch_first = kernel, attention.num_heads, attention.batch_first
        self.in_proj_weight, self.in_proj_bias = attention.in_proj_weight, attention.in_proj_bias
        self.out_proj = attention.out_proj

    def forward(self, x: Float[Tensor, "_ _ width"], *_: Tensor, **__: object) -> tuple[Tensor, None]:
        """The attended sequence and None, as `nn.MultiheadAttention` returns without attention weights.

        Args:
            x: (tokens, n, width), or (n, tokens, width) if the module's batch is first.
        """
        tokens, n = (1, 0) if self.batch_first else (0, 1)
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias).unflatten(2, (3, self.heads, -1))
        q, k, v = qkv.permute(2, n, 3, tokens, 4)
        attended = attend(q, k, v, self.kernel).transpose(1, 2)
        return self.out_proj((attended if self.batch_first else attended.transpose(0, 1)).flatten(2)), None
