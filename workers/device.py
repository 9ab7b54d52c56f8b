"""What this machine computes on, and how fast: one short measurement, from which times are estimated.

torch is imported inside the functions: a worker that only moves files never loads it.
"""

import os
import sys
import time
from typing import NamedTuple

MEASURE_S = 0.3
BATCH, CHANNELS, SIDE = 8, 64, 32
FLOPS_PER_RUN = 2 * BATCH * SIDE * SIDE * CHANNELS * CHANNELS * 9  # multiply and add, 3 x 3 kernel


class Device(NamedTuple):
    name: str  # "cpu" or "cuda"
    text: str
    memory_bytes: int
    gflops: float  # 0 where nothing was measured


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def without_numerics() -> Device:
    """The device of a worker that computes nothing."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Device("cpu", describe("cpu"), memory, 0.0)


def name_device() -> str:
    """ "cuda" if torch finds a GPU, else "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def describe(name: str) -> str:
    """The device of that name in words."""
    if name == "cpu":
        return f"cpu ({num_cores()} cores)"
    import torch

    return f"cuda: {torch.cuda.get_device_properties(0).name}"


def threads() -> dict[str, str]:
    """{"threads": how many of them numerics share in this process}, which decides how sums round; {} where none were loaded."""
    torch = sys.modules.get("torch")
    return {"threads": str(torch.get_num_threads())} if torch is not None else {}


def measure_device() -> Device:
    """Load torch and measure a convolution."""
    import torch

    if not torch.cuda.is_available():
        return without_numerics()._replace(gflops=_measure_gflops("cpu"))
    memory = torch.cuda.get_device_properties(0).total_memory
    return Device("cuda", describe("cuda"), memory, _measure_gflops("cuda"))


def _measure_gflops(device: str) -> float:
    """The best of many runs, so that another process's burst does not count."""
    import torch

    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    convolution = torch.nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1).to(device, dtype)
    images = torch.ones(BATCH, CHANNELS, SIDE, SIDE, device=device, dtype=dtype)  # (N, C, H, W)
    best = float("inf")
    end = time.monotonic() + MEASURE_S
    with torch.inference_mode():
        while time.monotonic() < end:
            start = time.perf_counter()
            convolution(images)
            if device == "cuda":
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - start)
    return FLOPS_PER_RUN / best / 1e9
