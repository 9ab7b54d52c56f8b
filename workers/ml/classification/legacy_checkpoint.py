"""Read the tensors of a 2019-style PyTorch checkpoint without executing anything in it.

Such a file is a small program for a stack machine that may import and call whatever it likes. Here the program is
only disassembled (pickletools.genops, which runs nothing) and walked with the 30 opcodes that a state dict needs;
an import of anything but a tensor, a storage or an ordered dict, or any other call, is an error. Layout: five such
programs (magic number, protocol, system, state dict, storage keys), then for every key an int64 length and the data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pickletools import genops
from typing import Any, BinaryIO

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
DTYPES = {"torch FloatStorage": "<f4", "torch LongStorage": "<i8"}
_PUSH_ARGUMENT = {"BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1"}
_PUSH_CONSTANT: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWFALSE": lambda: False,
    "NEWTRUE": lambda: True,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
_TUPLE_SIZES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True)
class Symbol:
    """A name that the file wants imported. Nothing is imported: it stays a name."""

    name: str


@dataclass(frozen=True)
class StorageReference:
    key: str
    dtype: str
    size: int


@dataclass(frozen=True)
class TensorReference:
    """Where one tensor lies: offset and strides count elements of its storage."""

    storage: StorageReference
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Mark:
    pass


def read_legacy_checkpoint(path: Path) -> dict[str, NDArray[Any]]:
    """Tensors of a state dict by name, in the file's order.

    path: a file as PyTorch wrote it before version 1.6, little-endian, float32 and int64 tensors only.
    Raises ValueError if the file is of another kind, is cut short, or asks for anything but tensors.
    """
    with path.open("rb") as file:
        try:
            magic = _interpret(file)
        except ValueError as error:
            raise ValueError(f"{path.name} is not a legacy PyTorch checkpoint: {error}") from error
        if magic != MAGIC_NUMBER:
            raise ValueError(f"{path.name} is not a legacy PyTorch checkpoint: its magic number is {magic!r}.")
        _interpret(file)  # protocol version
        _interpret(file)  # type sizes of the system that wrote it
        references, keys = _interpret(file), _interpret(file)
        storages = _read_storages(file, references=_tensor_references(references), keys=keys)
    return {name: _view(storages, reference) for name, reference in _tensor_references(references).items()}


def _tensor_references(state: Any) -> dict[str, TensorReference]:
    if not isinstance(state, dict):
        raise ValueError(f"The checkpoint holds a {type(state).__name__}, expected a state dict of named tensors.")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, TensorReference):
            raise ValueError(f"Entry {name!r} of the checkpoint is a {type(value).__name__}, expected a tensor.")
    return state


def _read_storages(
    file: BinaryIO, *, references: dict[str, TensorReference], keys: list[str]
) -> dict[str, NDArray[Any]]:
    """The flat arrays that follow the programs, in the order of `keys`."""
    known = {reference.storage.key: reference.storage for reference in references.values()}
    storages = {}
    for key in keys:
        if key not in known:
            raise ValueError(f"The checkpoint holds storage {key!r}, which none of its tensors uses.")
        size = int.from_bytes(file.read(8), "little")
        if size != known[key].size:
            raise ValueError(f"Storage {key!r} holds {size} values, its tensors expect {known[key].size}.")
        dtype = np.dtype(known[key].dtype)
        data = file.read(size * dtype.itemsize)
        if len(data) != size * dtype.itemsize:
            raise ValueError(f"The checkpoint is cut short in storage {key!r}; fetch the file again.")
        storages[key] = np.frombuffer(data, dtype=dtype)
    return storages


def _view(storages: dict[str, NDArray[Any]], reference: TensorReference) -> NDArray[Any]:
    flat = storages[reference.storage.key]
    last = reference.offset + sum((n - 1) * s for n, s in zip(reference.shape, reference.strides, strict=True))
    if (
        reference.offset < 0
        or min(reference.strides, default=0) < 0
        or (math.prod(reference.shape) > 0 and last >= len(flat))
    ):
        raise ValueError(f"A tensor of shape {reference.shape} reaches beyond storage {reference.storage.key!r}.")
    strides = tuple(stride * flat.itemsize for stride in reference.strides)
    return as_strided(flat[reference.offset :], shape=reference.shape, strides=strides).copy()


def _interpret(file: BinaryIO) -> Any:
    """Walk one program and return what it would leave on the stack, with references in place of tensors."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for opcode, argument, _ in genops(file):
        if opcode.name == "STOP":
            return stack.pop()
        try:
            _step(opcode.name, argument, stack, memo)
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise ValueError(
                f"The program is not that of a state dict: opcode {opcode.name} fails ({error})."
            ) from error
    raise ValueError("The program has no end.")


def _step(name: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    if name in _PUSH_ARGUMENT:
        stack.append(argument)
    elif name in _PUSH_CONSTANT:
        stack.append(_PUSH_CONSTANT[name]())
    elif name in _TUPLE_SIZES:
        stack.append(tuple(_pop(stack, _TUPLE_SIZES[name])))
    elif name in ("BINPUT", "LONG_BINPUT"):
        memo[argument] = stack[-1]
    elif name in ("BINGET", "LONG_BINGET"):
        stack.append(memo[argument])
    elif name == "GLOBAL":
        stack.append(Symbol(argument))
    elif name == "MARK":
        stack.append(_Mark())
    elif name == "TUPLE":
        stack.append(tuple(_pop_to_mark(stack)))
    else:
        _change(name, stack)


def _change(name: str, stack: list[Any]) -> None:
    """The opcodes that would call or change something."""
    if name in ("SETITEM", "SETITEMS"):
        items = _pop(stack, 2) if name == "SETITEM" else _pop_to_mark(stack)
        stack[-1].update(zip(items[0::2], items[1::2], strict=True))
    elif name in ("APPEND", "APPENDS"):
        items = _pop(stack, 1) if name == "APPEND" else _pop_to_mark(stack)
        stack[-1].extend(items)
    elif name == "REDUCE":
        function, arguments = _pop(stack, 2)
        stack.append(_call(function, arguments))
    elif name == "BINPERSID":
        stack.append(_storage(stack.pop()))
    elif name == "BUILD":
        stack.pop()  # attributes of the ordered dict (version numbers of its modules): not needed
    elif name != "PROTO":
        raise ValueError(f"Opcode {name} does not belong in a state dict; the file was not read further.")


def _call(function: Any, arguments: Any) -> Any:
    """The only two calls of a state dict, neither of them made."""
    if function == Symbol("collections OrderedDict") and arguments == ():
        return {}
    if function == Symbol("torch._utils _rebuild_tensor_v2"):
        storage, offset, shape, strides = arguments[:4]
        if isinstance(storage, StorageReference):
            return TensorReference(storage, offset, shape, strides)
    raise ValueError(f"The checkpoint asks to call {function!r}, which no state dict needs; it was not called.")


def _storage(identity: Any) -> StorageReference:
    kind, symbol, key, _location, size = identity[:5]
    if kind != "storage" or not isinstance(symbol, Symbol) or symbol.name not in DTYPES:
        raise ValueError(f"Storage {identity!r} is not one of {', '.join(DTYPES)}.")
    return StorageReference(key, DTYPES[symbol.name], size)


def _pop(stack: list[Any], count: int) -> list[Any]:
    items = stack[-count:]
    del stack[-count:]
    return items


def _pop_to_mark(stack: list[Any]) -> list[Any]:
    position = len(stack) - 1
    while not isinstance(stack[position], _Mark):
        position -= 1
    items = stack[position + 1 :]
    del stack[position:]
    return items
