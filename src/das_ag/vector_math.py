"""A workaround for MKL's vector mathematics, which computes torch's square roots, exponentials etc. on x86 CPUs."""

import torch


def choose_kernels() -> None:
    """Makes MKL choose its kernels while only one thread calls it; every process calls this before it computes.

    MKL chooses at the first call. In torch's builds with MKL 2024.2, a second thread that calls at the same moment gets
    kernels of low accuracy. This affects one result of the process: that thread's share has a relative error of up to
    3e-4. Source: PyTorch's issue 188792.
    """
    torch.ones(1).sqrt()  # a single number uses one thread; the choice applies to all functions
