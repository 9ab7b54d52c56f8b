"""Archives that a stranger with bad intentions, or a broken disk, would send: `cases()` names and makes them."""

import gzip
import io
import random
import stat
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator

PIXEL = b"not really an image"
CLIMBING_NAMES = [
    "../evil.png", "../../evil.png", "a/../../evil.png", "a/b/../../../evil.png", "..", "../", "a/..", "./../evil.png",
    "..\\evil.png", "a\\..\\..\\evil.png", "/evil.png", "/etc/cron.d/evil", "//evil.png", "\\evil.png", "C:\\evil.png",
    "C:/evil.png", "c:evil.png", "\\\\server\\share\\evil.png", "/tmp/../evil.png", "a/./../../evil.png", "~/../evil.png",
]  # fmt: skip
ODD_NAMES = [
    "a" * 1500 + ".png", "/".join("d" for _ in range(800)) + "/x.png", "a\nb.png", "a\tb.png", "\u202egnp.exe", "a\x7fb.png",
    "con.png", "a/\u2025/x.png", "\uff0e\uff0e/x.png", ".", "./", "a//b///c.png", "x.png/", "\u0000x.png", "x.png\x00.exe", " ", "a/ /b.png",
]  # fmt: skip


def zipped(*entries: tuple[str, bytes], **options: int) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            info = zipfile.ZipInfo("placeholder")
            info.filename = name  # as it is: the constructor would mend it
            info.compress_type = options.get("method", zipfile.ZIP_DEFLATED)
            info.external_attr = options.get("mode", stat.S_IFREG | 0o644) << 16
            with warnings.catch_warnings(action="ignore"):  # names may be there twice
                archive.writestr(info, data)
    return target.getvalue()


def tarred(
    *entries: tuple[str, bytes], kind: bytes = tarfile.REGTYPE, link: str = "", form: int = tarfile.PAX_FORMAT
) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form) as archive:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, link, len(data)
            archive.addfile(info, io.BytesIO(data))
    return target.getvalue()


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def overlapping(copies: int) -> bytes:
    """One compressed stream that `copies` directory entries point at, as the better zip bombs do."""
    data = bytearray(zipped(("a.png", bytes(200_000))))
    at = data.rfind(b"PK\x05\x06")
    directory = struct.unpack_from("<L", data, at + 16)[0]
    entry = bytes(data[directory:at])
    entries = b"".join(entry.replace(b"a.png", f"{i:05d}".encode()) for i in range(copies))
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, copies, copies, len(entries), directory, 0)
    return bytes(data[:directory]) + entries + end


def quoted() -> bytes:
    """Two entries, the first of which is said to reach over the second's header."""
    data = bytearray(zipped(("a.png", PIXEL * 20), ("b.png", PIXEL * 20), method=zipfile.ZIP_STORED))
    at = data.find(b"PK\x01\x02")
    size = struct.unpack_from("<L", data, at + 20)[0]
    struct.pack_into("<LL", data, at + 20, size + 60, size + 60)
    return bytes(data)


def patched(data: bytes, signature: bytes, offset: int, form: str, *values: int) -> bytes:
    """`data` with every record of `signature` changed at `offset`."""
    changed, at = bytearray(data), -1
    while (at := changed.find(signature, at + 1)) >= 0:
        struct.pack_into(form, changed, at + offset, *values)
    return bytes(changed)


def directory_of(num_entries: int, num_bytes: int) -> bytes:
    return struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, num_entries, num_entries, num_bytes, 0, 0)


def flipped(data: bytes, seed: int) -> bytes:
    """`data` with eight random bytes changed."""
    rng, changed = random.Random(seed), bytearray(data)
    for _ in range(8):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def cases() -> Iterator[tuple[str, Callable[[], bytes]]]:
    yield from _names()
    yield from _zips()
    yield from _tars()
    yield from _damaged()


def _names() -> Iterator[tuple[str, Callable[[], bytes]]]:
    for name in CLIMBING_NAMES + ODD_NAMES:
        yield f"zip named {name[:30]!a}", lambda name=name: zipped((name, PIXEL), ("good/1.png", PIXEL))
        if "\x00" not in name:
            yield f"tar named {name[:30]!a}", lambda name=name: tarred((name, PIXEL), ("good/1.png", PIXEL))
            yield (
                f"tar.gz named {name[:30]!a}",
                lambda name=name: gzip.compress(tarred((name, PIXEL), form=tarfile.GNU_FORMAT)),
            )


def _zips() -> Iterator[tuple[str, Callable[[], bytes]]]:
    plain = zipped(("a/1.png", PIXEL), ("a/2.png", PIXEL))
    for copies in (2, 50, 900):
        yield f"zip of {copies} overlapping entries", lambda copies=copies: overlapping(copies)
    yield "zip with a quoted header", quoted
    yield "zip bomb", lambda: zipped(("a/1.png", bytes(30_000_000)))
    yield "zip of many small bombs", lambda: zipped(*((f"a/{i}.png", bytes(900_000)) for i in range(20)))
    yield "zip of too many entries", lambda: zipped(*((f"a/{i}.png", b"") for i in range(1200)))
    yield "zip encrypted", lambda: patched(patched(plain, b"PK\x01\x02", 8, "<H", 1), b"PK\x03\x04", 6, "<H", 1)
    yield "zip strongly encrypted", lambda: patched(plain, b"PK\x01\x02", 8, "<H", 0x41)
    yield "zip that lies about sizes", lambda: patched(plain, b"PK\x01\x02", 24, "<L", 5)
    yield "zip that announces 4 GB", lambda: patched(plain, b"PK\x01\x02", 24, "<L", 0xFFFFFFF0)
    yield "zip with entries beyond its end", lambda: patched(plain, b"PK\x01\x02", 42, "<L", 10_000_000)
    yield "zip with wrong checksums", lambda: patched(plain, b"PK\x01\x02", 16, "<L", 1)
    yield "zip with other names in its local headers", lambda: patched(plain, b"PK\x03\x04", 30, "<3s", b"../")
    yield "zip within zip", lambda: zipped(("a/inner.zip", plain), ("a/1.png", PIXEL))
    yield "zip with names twice", lambda: zipped(("a/1.png", PIXEL), ("a/1.png", PIXEL * 2))
    yield "zip with names that differ by case", lambda: zipped(("a/1.png", PIXEL), ("A/1.PNG", PIXEL))
    yield "zip with names that differ by spelling", lambda: zipped(("a/\ufb01.png", PIXEL), ("a/fi.png", PIXEL))
    for method in (1, 6, 9, 12, 14, 93, 98, 99):
        yield f"zip of method {method}", lambda method=method: patched(plain, b"PK\x01\x02", 10, "<H", method)
    for kind in ("S_IFLNK", "S_IFIFO", "S_IFCHR", "S_IFBLK", "S_IFSOCK"):
        yield (
            f"zip with an {kind}",
            lambda kind=kind: zipped(("a/1.png", b"/etc/passwd"), mode=getattr(stat, kind) | 0o777),
        )
    for number, size in ((0, 0), (65535, 10), (0, 2**32 - 2), (5, 2**31), (1, 10_000_000)):
        yield (
            f"zip directory of {number} entries in {size} bytes",
            lambda n=number, s=size: b"PK\x03\x04" + directory_of(n, s),
        )
    yield "zip64 of 2**60 entries", lambda: _zip64(2**60, 2**62)
    yield "zip64 of a directory of 2**40 bytes", lambda: _zip64(3, 2**40)


def _zip64(entries: int, size: int) -> bytes:
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, entries, entries, size, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 4, 1)
    return b"PK\x03\x04" + record + locator + directory_of(0xFFFF, 0xFFFFFFFF)


def _tars() -> Iterator[tuple[str, Callable[[], bytes]]]:
    kinds = {"symlink": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE, "fifo": tarfile.FIFOTYPE, "device": tarfile.CHRTYPE,
             "disk": tarfile.BLKTYPE, "unknown kind": b"Z"}  # fmt: skip
    for name, kind in kinds.items():
        for link in ("../../etc/passwd", "/etc/passwd", "a/1.png"):
            yield (
                f"tar with a {name} to {link}",
                lambda kind=kind, link=link: tarred(("a/1.png", b""), kind=kind, link=link),
            )
    yield (
        "tar that writes through a link",
        lambda: tarred(("a", b""), kind=tarfile.SYMTYPE, link="/tmp")[:1024] + tarred(("a/1.png", PIXEL)),
    )
    yield "tar with a sparse file", lambda: header("a/1.png", 512, tarfile.GNUTYPE_SPARSE) + bytes(512)
    yield "tar with pax sparse", lambda: _pax(b"GNU.sparse.realsize=99999999999\n")
    yield "tar with a pax size of 2**60", lambda: _pax(b"size=1152921504606846976\n")
    yield "tar with a pax size that is no number", lambda: _pax(b"size=-5\n")
    yield "tar with a climbing pax path", lambda: _pax(b"path=../../evil.png\n")
    yield (
        "tar with a broken pax record",
        lambda: header("x", 9, tarfile.XHDTYPE) + b"99 path=x".ljust(512, b"\0") + bytes(1024),
    )
    yield "tar with a pax record of length 0", lambda: header("x", 9, tarfile.XHDTYPE) + b"0 path=x\n".ljust(512, b"\0")
    yield "tar with a long name of 5 GB", lambda: header("x", 5 * 2**30, tarfile.GNUTYPE_LONGNAME) + bytes(2048)
    yield (
        "tar.gz with a long name of 50 MB",
        lambda: gzip.compress(header("x", 50 * 2**20, tarfile.GNUTYPE_LONGNAME) + bytes(50 * 2**20)),
    )
    yield "tar with pax headers only", lambda: _pax(b"path=a/1.png\n")[:1024] * 1200
    yield "tar of a file of 8 EB", lambda: header("a/1.png", 2**62) + bytes(4096)
    yield "tar of a negative size", lambda: _negative()
    yield "tar of too many entries", lambda: tarred(*((f"a/{i}.png", b"") for i in range(1200)))
    yield "tar.gz bomb", lambda: gzip.compress(tarred(("a/1.png", bytes(30_000_000))))
    yield "gzip of no tar", lambda: gzip.compress(b"hello" * 500)
    yield "gzip in gzip", lambda: gzip.compress(gzip.compress(tarred(("a/1.png", PIXEL))))
    yield "tar with names twice", lambda: tarred(("a/1.png", PIXEL), ("a/1.png", PIXEL * 2))
    for start in (
        b"",
        b"P",
        b"PK\x03\x04",
        b"Rar!\x1a\x07",
        b"7z\xbc\xaf\x27\x1c",
        b"BZh9",
        b"\xfd7zXZ",
        b"\x1f\x8b",
        b"hello",
        bytes(10_000),
    ):
        yield f"no archive: {start[:6].hex()}", lambda start=start: start


def _record(text: bytes) -> bytes:
    length = len(text) + 3
    return f"{length} ".encode() + text if length > 9 else f"{length - 1} ".encode() + text


def _pax(text: bytes) -> bytes:
    record = _record(text)
    head = header("pax", len(record), tarfile.XHDTYPE) + record.ljust(512, b"\0")
    return head + header("a/1.png", len(PIXEL)) + PIXEL.ljust(512, b"\0") + bytes(1024)


def _negative() -> bytes:
    block = bytearray(header("a/1.png", 0))
    block[124:136] = b"\xff" * 12
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(1024)


def _damaged() -> Iterator[tuple[str, Callable[[], bytes]]]:
    entries = [(f"class {i % 2}/{i}.png", random.Random(i).randbytes(300)) for i in range(8)]
    whole = {"zip": zipped(*entries), "tar": tarred(*entries), "tar.gz": gzip.compress(tarred(*entries))}
    for form, data in whole.items():
        for tenth in range(1, 10):
            yield f"{form} cut after {tenth}0 %", lambda data=data, tenth=tenth: data[: len(data) * tenth // 10]
        for seed in range(20):
            yield f"{form} flipped with seed {seed}", lambda data=data, seed=seed: flipped(data, seed)
