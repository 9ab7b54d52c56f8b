"""What numerics raise reaches the person in words; what is a fault of ours does not pretend to be theirs."""

import pytest

from app.core.errors import BadInputError
from workers.jobs.problems import OutOfMemoryError, explained


def raised_as(error: BaseException) -> BaseException:
    with (
        pytest.raises(type(error) if isinstance(error, KeyError) else Exception) as caught,
        explained(lower="batch_size"),
    ):
        raise error
    return caught.value


@pytest.mark.parametrize("error", [ValueError("lr is 2"), FloatingPointError("lr is 2")])
def test_a_callers_mistake_is_bad_input(error: Exception) -> None:
    described = raised_as(error)
    assert isinstance(described, BadInputError)
    assert described.detail == "lr is 2"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    ],
)
def test_exhausted_memory_says_what_to_lower(error: Exception) -> None:
    described = raised_as(error)
    assert isinstance(described, OutOfMemoryError)
    assert described.hint == "Lower batch_size, then try again."


@pytest.mark.parametrize(
    "error", [RuntimeError("mat1 and mat2 shapes"), KeyError("a"), OSError(28, "No space left on device")]
)
def test_other_errors_pass_unchanged(error: Exception) -> None:
    assert raised_as(error) is error
