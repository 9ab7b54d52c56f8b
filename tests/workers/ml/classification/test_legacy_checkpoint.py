import struct

import numpy as np
import pytest

from workers.ml.classification.legacy_checkpoint import read_legacy_checkpoint

MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
PROTOCOL = b"\x80\x02M\xe9\x03."
SYSTEM = b"\x80\x02}."


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def numbers(*values: int) -> bytes:
    return b"(" + b"".join(b"K" + bytes([value]) for value in values) + b"t"


def tensor(*, key: str, size: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    storage = (
        b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + b"K" + bytes([size]) + b"NtQ"
    )
    arguments = (
        storage
        + b"K"
        + bytes([offset])
        + numbers(*shape)
        + numbers(*strides)
        + b"\x89"
        + b"ccollections\nOrderedDict\n)R"
    )
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"


def state_dict(**tensors: bytes) -> bytes:
    items = b"".join(text(name) + value for name, value in tensors.items())
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u."


def keys(*names: str) -> bytes:
    return b"\x80\x02](" + b"".join(map(text, names)) + b"e."


def storage(*values: float) -> bytes:
    return struct.pack("<q", len(values)) + np.array(values, dtype="<f4").tobytes()


def write(path, *parts: bytes):
    path.write_bytes(MAGIC + PROTOCOL + SYSTEM + b"".join(parts))
    return path


def test_reads_tensors_that_share_a_storage(tmp_path):
    whole = tensor(key="1", size=6, offset=0, shape=(2, 3), strides=(3, 1))
    turned = tensor(key="1", size=6, offset=1, shape=(2, 2), strides=(1, 3))
    path = write(tmp_path / "x.pth", state_dict(whole=whole, turned=turned), keys("1"), storage(0, 1, 2, 3, 4, 5))
    arrays = read_legacy_checkpoint(path)
    assert arrays["whole"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert arrays["turned"].tolist() == [[1, 4], [2, 5]]


def test_executes_nothing(tmp_path):
    target = tmp_path / "executed"
    call = b"\x80\x02cos\nmkdir\n(" + text(str(target)) + b"tR."
    with pytest.raises(ValueError, match=r"os mkdir.*not called"):
        read_legacy_checkpoint(write(tmp_path / "x.pth", call))
    assert not target.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02(" + text("touch /tmp/x") + b"ios\nsystem\n.",  # INST
        b"\x80\x02(cos\nsystem\n" + text("touch /tmp/x") + b"o.",  # OBJ
        b"\x80\x02ccollections\nOrderedDict\n)\x81.",  # NEWOBJ
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",  # STACK_GLOBAL
    ],
)
def test_refuses_every_other_way_to_call(tmp_path, program):
    with pytest.raises(ValueError, match="does not belong in a state dict"):
        read_legacy_checkpoint(write(tmp_path / "x.pth", program))


def test_refuses_a_view_beyond_its_storage(tmp_path):
    beyond = tensor(key="1", size=2, offset=1, shape=(2,), strides=(1,))
    path = write(tmp_path / "x.pth", state_dict(w=beyond), keys("1"), storage(1, 2))
    with pytest.raises(ValueError, match="reaches beyond storage"):
        read_legacy_checkpoint(path)


def test_refuses_a_file_cut_short(tmp_path):
    one = tensor(key="1", size=2, offset=0, shape=(2,), strides=(1,))
    path = write(tmp_path / "x.pth", state_dict(w=one), keys("1"), storage(1, 2)[:-3])
    with pytest.raises(ValueError, match="cut short"):
        read_legacy_checkpoint(path)


def test_refuses_what_is_no_state_dict(tmp_path):
    with pytest.raises(ValueError, match="holds a list"):
        read_legacy_checkpoint(write(tmp_path / "x.pth", b"\x80\x02].", keys()))
    with pytest.raises(ValueError, match="'w' of the checkpoint is a str"):
        read_legacy_checkpoint(write(tmp_path / "x.pth", state_dict(w=text("no tensor")), keys()))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip file", b"\x80\x02K\x01.", b"\x80\x02t."])
def test_refuses_other_files(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.pth is not a legacy PyTorch checkpoint"):
        read_legacy_checkpoint(tmp_path / "x.pth")
