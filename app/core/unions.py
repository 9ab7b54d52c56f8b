"""Groups of things that are joined pair by pair (union-find)."""

from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Unions(Generic[T]):
    def __init__(self) -> None:
        self._parent: dict[T, T] = {}

    def root(self, item: T) -> T:
        """One member of the item's group, the same for all of them until the next join."""
        parent = self._parent
        while (above := parent.get(item, item)) != item:
            parent[item] = parent.get(above, above)
            item = above
        return item

    def join(self, one: T, other: T) -> None:
        first, second = self.root(one), self.root(other)
        if first != second:
            self._parent[second] = first
