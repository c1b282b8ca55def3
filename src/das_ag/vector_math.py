"""MKL's vector mathematics, with which torch computes square roots, exponentials and their like on x86 processors."""

import torch


def choose_kernels() -> None:
    """Lets MKL choose its kernels while a single thread asks for them; every process calls this before it computes.

    MKL chooses at the first call. In torch's builds with MKL 2024.2 a second thread that calls at that very moment is
    given kernels of low accuracy: in one result of the process, and never again, that thread's share is off by up to
    3e-4 of each number. Source: PyTorch's issue 188792.
    """
    torch.ones(1).sqrt()  # one number is never shared out; the choice holds for all functions
