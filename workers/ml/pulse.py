"""A pulse in long loops: whoever started them can count along, or stop them, between two blocks.

What yields a record per step needs none. This is for computations that return one value after many blocks, deep inside:
they call `pulse`, and never know who listens. Without a listener it does nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[int], None]
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def pulse(num_images: int = 0) -> None:
    """Say that a block has ended, and how many images of a search are done with it. May raise, to stop."""
    listener = _listener.get()
    if listener is not None:
        listener(num_images)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hear every pulse of this thread for as long as this lasts; what `listener` raises ends the computation."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
