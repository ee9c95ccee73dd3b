"""Archives that are not what they say: each is refused with status 74, and nothing is written."""

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from support.command import peak_of, run
from support.sweeps import combined

LOGITS, LABELS = np.arange(12.0).reshape(4, 3), np.array([0, 1, 2, 0])


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(text, version=(1, 0)):
    """Return a .npy file with this header and some numbers."""
    body = text.encode().ljust(118 - 10 - 1) + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(body)) + body + LOGITS.tobytes()


def archive(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return path


def whole(path):
    return archive(path, {"logits": npy(LOGITS), "target": npy(LABELS)})


def patched(path, old, new, *, last=False):
    data = path.read_bytes()
    place = data.rindex(old) if last else data.index(old)
    path.write_bytes(data[:place] + new + data[place + len(old) :])


def flip_a_byte(path):
    patched(path, np.float64(5.0).tobytes(), np.float64(6.0).tobytes())


def change_the_checksum(path):
    crc = struct.pack("<I", zlib.crc32(npy(LOGITS)))
    patched(path, crc, b"\0\0\0\1", last=True)


def shorten_a_member(path):
    archive(path, {"logits": npy(LOGITS)[:-24], "target": npy(LABELS)})


def lengthen_a_member(path):
    archive(path, {"logits": npy(LOGITS) + bytes(24), "target": npy(LABELS)})


def change_a_size(path):
    size = struct.pack("<II", len(npy(LOGITS)), len(npy(LOGITS)))
    patched(path, size, struct.pack("<II", len(npy(LOGITS)), len(npy(LOGITS)) + 8), last=True)


def encrypt(path):
    data = path.read_bytes()
    place = data.index(b"PK\1\2") + 8
    path.write_bytes(data[:place] + b"\1\0" + data[place + 2 :])


def change_the_method(path):
    data = path.read_bytes()
    for mark, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        place = data.index(mark) + offset
        data = data[:place] + b"\x62\0" + data[place + 2 :]
    path.write_bytes(data)


def name_one_twice(path):
    archive(path, {"logits": npy(LOGITS), "logitz": npy(LOGITS + 1), "target": npy(LABELS)})
    for _ in range(2):
        patched(path, b"logitz", b"logits")


def rename_inside(path):
    patched(path, b"logits", b"logitz")


DAMAGES = {
    flip_a_byte: "its checksum is another one",
    change_the_checksum: "its checksum is another one",
    shorten_a_member: "it breaks off: expected 96 bytes, got 72",
    lengthen_a_member: "expected 96 bytes by its header, got 120",
    change_a_size: "gives it two sizes",
    encrypt: "it is encrypted",
    change_the_method: "it is compressed by method 98, which is not read",
    name_one_twice: 'there are two named "logits"',
    rename_inside: "its header is another one than the archive's directory says",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_archive_is_refused_and_nothing_is_written(tmp_path, damage):
    path = whole(tmp_path / "x.npz")
    out = tmp_path / "r.npz"
    out.write_bytes(b"old")
    assert run(str(path), "-o", str(tmp_path / "good.npz")).status == 0
    damage(path)
    ended = run(str(path), "-o", str(out))
    assert ended.status == 74, ended.err
    assert DAMAGES[damage] in ended.err
    assert out.read_bytes() == b"old"
    assert not list(tmp_path.glob(".softgrad-*"))


HEADERS = [
    header("{'descr': '<f8', 'fortran_order': False, 'shape': (True, 3)}"),
    header("{'descr': '<f8', 'fortran_order': False, 'shape': (4, 3"),
    header("{'descr': '<f8', 'fortran_order': False, 'shape': (-4, -3)}"),
    header("{'descr': '<f8', 'fortran_order': False, 'shape': (4, 3.0)}"),
    header("{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776, 3)}"),
    header("{'descr': 'x8', 'fortran_order': False, 'shape': (4, 3)}"),
    header("{'descr': '|O', 'fortran_order': False, 'shape': (4, 3)}"),
    header("{'descr': '<f8', 'fortran_order': False, 'shape': (4, 3)}", version=(0, 0)),
    header("{'descr': '<f8', 'fortran_order': False, 'shape': (4, 3)}", version=(9, 9)),
    b"\x93NUMPY\1\0" + struct.pack("<H", 9_100) + b"-" * 9_000 + b"1".ljust(99) + b"\n",
    b"\x93NUMPY\1\0\xff\xff",
    header("{'descr': '<V0', 'fortran_order': True, 'shape': (4, 3)}"),
    b"nothing",
]


@pytest.mark.parametrize(
    ("number", "method"),
    combined(range(len(HEADERS)), (None, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)),
)
def test_a_header_that_is_none_is_refused(tmp_path, number, method):
    data = HEADERS[number]
    path = tmp_path / ("x.npy" if method is None else "x.npz")
    if method is None:
        path.write_bytes(data)
    else:
        archive(path, {"logits": data, "target": npy(LABELS)}, method)
    ended = run(str(path), "-t", "0", "-o", str(tmp_path / "r.npz"))
    assert ended.status == (3 if b"V0" in data and method is None else 74), ended.err
    assert not (tmp_path / "r.npz").exists()


def test_a_compressed_member_that_is_cut_or_damaged_is_refused(tmp_path):
    path = archive(tmp_path / "x.npz", {"logits": npy(LOGITS)}, zipfile.ZIP_DEFLATED)
    data = path.read_bytes()
    path.write_bytes(data[:60] + bytes([data[60] ^ 255]) + data[61:])
    assert run(str(path), "-t", "0", "-o", str(tmp_path / "r.npz")).status == 74


def test_a_compressed_member_of_an_unknown_kind_is_refused(tmp_path):
    path = archive(tmp_path / "x.npz", {"logits": npy(LOGITS)}, zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + offset] |= 0x20
    path.write_bytes(data)
    ended = run(str(path), "-t", "0", "-o", str(tmp_path / "r.npz"))
    assert (ended.status, "compressed patched data" in ended.err) == (74, True), ended.err


@pytest.mark.sweep
def test_a_large_compressed_array_takes_little_memory(tmp_path):
    rows = np.zeros((400_000, 100))
    np.savez_compressed(tmp_path / "x.npz", logits=rows)
    del rows
    ended = peak_of("x.npz", "-t", "0", "-o", "r.npz", "--fields", "loss", cwd=tmp_path)
    assert ended < 256


@pytest.mark.sweep
def test_an_array_in_the_order_of_fortran_is_in_memory_once(tmp_path):
    np.save(tmp_path / "x.npy", np.asfortranarray(np.zeros((400_000, 100), np.float32)))
    peak = peak_of("x.npy", "-t", "0", "-o", "r.npz", "--fields", "loss", cwd=tmp_path)
    assert peak < 153 + 120


def test_names_that_are_not_ascii_are_read(tmp_path):
    np.savez(tmp_path / "x.npz", logits=LOGITS, target=LABELS, größe=LABELS)
    assert run(str(tmp_path / "x.npz"), "-o", str(tmp_path / "r.npz")).status == 0
