"""Checkpoints that are whole or absent, and single-file networks with the same bytes for the same weights.

A checkpoint is a directory written as `<name>.tmp`, synced, sealed by a manifest of sizes and sha256 and then renamed,
so a crash leaves either the old state or a `.tmp` to sweep away. Only safetensors and JSON are ever read.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

MANIFEST = "MANIFEST.json"
STATE = "state.json"
TMP_SUFFIX = ".tmp"
METADATA_KEY = "phantom_studio"  # one key only: safetensors writes several in an order that changes between runs


class CheckpointError(ValueError):
    """A checkpoint or network file is incomplete, altered or of another kind."""


class Skipped(NamedTuple):
    """A checkpoint directory that cannot be used, and why."""

    path: Path
    reason: str


def checkpoint_name(step: int) -> str:
    """Return the directory name of a step; names sort as steps do."""
    return f"step-{step:09d}"


def write_directory(path: Path, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> None:
    """Write a checkpoint directory in one piece.

    tensors: file stem -> name -> tensor, one safetensors file each. state: JSON-able values. An existing directory
    of that name is replaced, at the moment of the rename. Raises OSError (disk full, say) with nothing changed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tmp = path.with_name(path.name + TMP_SUFFIX)
    shutil.rmtree(tmp, ignore_errors=True)
    tmp.mkdir()
    try:
        for stem, group in tensors.items():
            save_file(_contiguous(group), tmp / f"{stem}.safetensors")
        (tmp / STATE).write_text(json.dumps(state, indent=1, sort_keys=True))
        _seal(tmp)
    except BaseException:
        shutil.rmtree(tmp, ignore_errors=True)
        raise
    _replace_directory(tmp, path)


def _contiguous(group: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in group.items()}


def _seal(directory: Path) -> None:
    """Sync each file and write the manifest last."""
    files = {}
    for file in sorted(directory.iterdir()):
        _sync(file)
        files[file.name] = {"size": file.stat().st_size, "sha256": file_sha256(file)}
    manifest = directory / MANIFEST
    manifest.write_text(json.dumps({"files": files}, indent=1, sort_keys=True))
    _sync(manifest)
    _sync(directory)


def _replace_directory(tmp: Path, path: Path) -> None:
    old = path.with_name(f"{path.name}.old{TMP_SUFFIX}")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.rename(old)
    tmp.rename(path)
    _sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: Path) -> str:
    """Return the hex sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_directory(path: Path) -> None:
    """Check every file of a checkpoint against its manifest; raises CheckpointError with what is wrong."""
    files = _read_manifest(path)
    if STATE not in files:
        raise CheckpointError(f"The manifest of {path.name} does not list {STATE}.")
    for name, (size, sha256) in files.items():
        _verify_file(path / name, size=size, sha256=sha256)


def _read_manifest(path: Path) -> dict[str, tuple[int, str]]:
    """Return size and sha256 by file name."""
    try:
        files = json.loads((path / MANIFEST).read_text())["files"]
        found = {name: (int(file["size"]), str(file["sha256"])) for name, file in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path.name} has no readable {MANIFEST} ({error}).") from error
    outside = [name for name in found if Path(name).name != name]
    if outside:
        raise CheckpointError(f"The manifest of {path.name} lists files outside of it: {', '.join(outside)}.")
    return found


def _verify_file(file: Path, *, size: int, sha256: str) -> None:
    if not file.is_file():
        raise CheckpointError(f"{file.parent.name}: {file.name} is missing.")
    if file.stat().st_size != size:
        raise CheckpointError(f"{file.parent.name}: {file.name} has {file.stat().st_size} bytes, {size} were written.")
    if file_sha256(file) != sha256:
        raise CheckpointError(f"{file.parent.name}: {file.name} was altered since it was written.")


def read_directory(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Verify a checkpoint and return (tensors by file stem, state); raises CheckpointError if it is not whole."""
    verify_directory(path)
    tensors = {file.stem: load_file(file) for file in sorted(path.glob("*.safetensors"))}
    return tensors, json.loads((path / STATE).read_text())


def latest_valid(parent: Path) -> tuple[Path | None, list[Skipped]]:
    """Return the newest checkpoint under `parent` whose manifest verifies (None if there is none), and those skipped."""
    skipped = []
    for path in reversed(_checkpoints(parent)):
        try:
            verify_directory(path)
        except CheckpointError as error:
            skipped.append(Skipped(path, str(error)))
        else:
            return path, skipped
    return None, skipped


def _checkpoints(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.endswith(TMP_SUFFIX))


def prune(parent: Path, keep: int, protected: Collection[str] = ()) -> list[Path]:
    """Delete all but the newest `keep` checkpoints and those named in `protected` (the best, say); return the deleted."""
    if keep < 1:
        raise ValueError(f"keep is {keep}; at least the newest checkpoint must stay.")
    deleted = [path for path in _checkpoints(parent)[:-keep] if path.name not in protected]
    for path in deleted:
        shutil.rmtree(path)
    return deleted


def remove_leftovers(parent: Path) -> list[Path]:
    """Delete the `.tmp` directories and files that an interrupted write left under `parent`; return them."""
    leftovers = sorted(parent.glob(f"*{TMP_SUFFIX}")) if parent.is_dir() else []
    for path in leftovers:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return leftovers


def export_network(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    """Write weights and JSON-able metadata as one safetensors file and return its sha256.

    Equal weights and metadata give equal bytes. The file appears whole or not at all.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tmp = path.with_name(path.name + TMP_SUFFIX)
    text = json.dumps(metadata, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    try:
        save_file(_contiguous(tensors), tmp, metadata={METADATA_KEY: text})
        _sync(tmp)
        digest = file_sha256(tmp)
        tmp.rename(path)
    finally:
        tmp.unlink(missing_ok=True)
    _sync(path.parent)
    return digest


def load_network(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `export_network` wrote; raises CheckpointError for any other file."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path.name} cannot be read as a safetensors file ({error}).") from error
    if text is None:
        raise CheckpointError(f"{path.name} was not exported by this studio: it has no '{METADATA_KEY}' metadata.")
    return tensors, json.loads(text)
