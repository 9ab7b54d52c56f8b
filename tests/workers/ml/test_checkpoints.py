"""A checkpoint is whole or it is not used, and equal networks make equal files."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import save_file

from workers.ml import checkpoints
from workers.ml.checkpoints import CheckpointError

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1, 2])}


def write(path, value=1.0):
    checkpoints.write_directory(
        path, {"network": {"w": torch.full((3,), value)}, "random": {"torch": torch.ones(2)}}, {"v": value}
    )


def test_a_directory_comes_back_as_it_was_written(tmp_path):
    write(tmp_path / "step-1", 2.5)
    tensors, state = checkpoints.read_directory(tmp_path / "step-1")
    assert tensors["network"]["w"].tolist() == [2.5, 2.5, 2.5]
    assert sorted(tensors) == ["network", "random"]
    assert state == {"v": 2.5}
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]


def test_writing_again_replaces_the_directory(tmp_path):
    write(tmp_path / "step-1", 1.0)
    write(tmp_path / "step-1", 2.0)
    assert checkpoints.read_directory(tmp_path / "step-1")[1] == {"v": 2.0}
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]


def test_the_manifest_holds_size_and_sha256_of_every_other_file(tmp_path):
    write(tmp_path / "c")
    files = json.loads((tmp_path / "c" / "MANIFEST.json").read_text())["files"]
    assert sorted(files) == ["network.safetensors", "random.safetensors", "state.json"]
    content = (tmp_path / "c" / "state.json").read_bytes()
    assert files["state.json"] == {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def flip_last_byte(file):
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


DAMAGE = {
    "altered": lambda path: flip_last_byte(path / "network.safetensors"),
    "bytes": lambda path: (path / "network.safetensors").write_bytes(b"short"),
    "missing": lambda path: (path / "random.safetensors").unlink(),
    "no readable MANIFEST": lambda path: (path / "MANIFEST.json").write_text("{"),
    "lists files outside": lambda path: (path / "MANIFEST.json").write_text(
        '{"files": {"../x": {"size": 1, "sha256": ""}}}'
    ),
    "does not list state": lambda path: (path / "MANIFEST.json").write_text('{"files": {}}'),
}


@pytest.mark.parametrize("reason", DAMAGE)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path, reason):
    for step in (9, 10):
        write(tmp_path / checkpoints.checkpoint_name(step), step)
    damaged = tmp_path / checkpoints.checkpoint_name(10)
    DAMAGE[reason](damaged)
    path, skipped = checkpoints.latest_valid(tmp_path)
    assert path == tmp_path / checkpoints.checkpoint_name(9)
    assert [one.path for one in skipped] == [damaged]
    assert reason in skipped[0].reason
    with pytest.raises(CheckpointError, match=reason):
        checkpoints.read_directory(damaged)


def test_nothing_is_found_where_nothing_is(tmp_path):
    assert checkpoints.latest_valid(tmp_path / "absent") == (None, [])


def test_a_write_that_fails_leaves_the_old_checkpoint_and_no_leftovers(tmp_path):
    write(tmp_path / "c", 1.0)
    with pytest.raises(TypeError):
        checkpoints.write_directory(tmp_path / "c", {"network": {"w": torch.ones(3)}}, {"v": object()})
    assert checkpoints.read_directory(tmp_path / "c")[1] == {"v": 1.0}
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_leftovers_of_a_killed_write_are_no_checkpoints_and_are_removed(tmp_path):
    write(tmp_path / "step-1")
    (tmp_path / "step-1").rename(tmp_path / "step-2.tmp")
    (tmp_path / "network.safetensors.tmp").write_bytes(b"half")
    assert checkpoints.latest_valid(tmp_path) == (None, [])
    assert [path.name for path in checkpoints.remove_leftovers(tmp_path)] == [
        "network.safetensors.tmp",
        "step-2.tmp",
    ]
    assert list(tmp_path.iterdir()) == []


def test_pruning_keeps_the_newest_and_the_protected(tmp_path):
    for step in (1, 2, 3, 4, 100):
        write(tmp_path / checkpoints.checkpoint_name(step))
    deleted = checkpoints.prune(tmp_path, 2, {checkpoints.checkpoint_name(1)})
    assert [path.name for path in deleted] == [checkpoints.checkpoint_name(step) for step in (2, 3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        checkpoints.checkpoint_name(step) for step in (1, 4, 100)
    ]


def test_pruning_never_deletes_everything(tmp_path):
    with pytest.raises(ValueError, match="keep is 0"):
        checkpoints.prune(tmp_path, 0)


def test_equal_networks_make_equal_files(tmp_path):
    metadata = {f"key{i}": i for i in range(20)}
    reordered = dict(reversed(metadata.items()))
    first = checkpoints.export_network(tmp_path / "one.safetensors", WEIGHTS, metadata)
    second = checkpoints.export_network(tmp_path / "two.safetensors", dict(reversed(WEIGHTS.items())), reordered)
    assert first == second == hashlib.sha256((tmp_path / "one.safetensors").read_bytes()).hexdigest()
    assert first != checkpoints.export_network(tmp_path / "three.safetensors", WEIGHTS, metadata | {"key0": 1})


def test_a_network_comes_back_as_it_was_exported(tmp_path):
    checkpoints.export_network(tmp_path / "n.safetensors", WEIGHTS, {"classes": ["Früh", "Pre"]})
    tensors, metadata = checkpoints.load_network(tmp_path / "n.safetensors")
    assert metadata == {"classes": ["Früh", "Pre"]}
    assert all(torch.equal(tensors[name], WEIGHTS[name]) for name in WEIGHTS)


def test_files_of_other_kinds_are_refused(tmp_path):
    (tmp_path / "pickle.pt").write_bytes(b"\x80\x04K\x01.")
    save_file({"w": torch.ones(1)}, tmp_path / "plain.safetensors")
    with pytest.raises(CheckpointError, match="cannot be read as a safetensors file"):
        checkpoints.load_network(tmp_path / "pickle.pt")
    with pytest.raises(CheckpointError, match="not exported by this studio"):
        checkpoints.load_network(tmp_path / "plain.safetensors")
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoints.load_network(tmp_path / "absent.safetensors")
