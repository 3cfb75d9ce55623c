"""Files of strangers: only regular ones, only plain values, nothing that is small on disk and large in memory."""

import io
import json
import os
import struct
import zipfile

import numpy as np
import pytest
import yaml

from lancelet import LanceletError, foreign


def test_reads_a_file_and_what_a_link_within_the_folder_leads_to(tmp_path):
    (tmp_path / "own.txt").write_bytes(b"\xef\xbb\xbftext")
    (tmp_path / "link.txt").symlink_to("own.txt")
    assert foreign.read_text(tmp_path / "own.txt", 100, tmp_path) == "text"
    assert foreign.read_text(tmp_path / "link.txt", 100, tmp_path) == "text"


def test_a_folder_that_is_itself_reached_through_a_link_is_read(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "own.txt").write_text("text")
    (tmp_path / "link").symlink_to("run")
    assert foreign.read_text(tmp_path / "link" / "own.txt", 100, tmp_path / "link") == "text"


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    (tmp_path / "secret.txt").write_text("text")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "link.txt").symlink_to("../secret.txt")
    with pytest.raises(LanceletError, match="leads out of"):
        foreign.read_text(tmp_path / "run" / "link.txt", 100, tmp_path / "run")
    # The user's own word is followed.
    assert foreign.read_text(tmp_path / "run" / "link.txt", 100) == "text"


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "circle").symlink_to("circle")
    words = {
        "pipe": "is a pipe",
        "folder": "is a folder",
        "zero": "or a device",
        "none": "does not exist",
        "circle": "cannot read .*loop",
    }
    for name, word in words.items():
        with pytest.raises(LanceletError, match=word):
            foreign.open_regular(tmp_path / name, 100)


def test_a_large_file_is_refused_with_its_size_and_what_is_allowed(tmp_path):
    with open(tmp_path / "large", "wb") as file:
        file.truncate(3 * foreign.GIB)
    with pytest.raises(LanceletError, match="has 3 GiB: at most 1 MiB are read"):
        foreign.read_bytes(tmp_path / "large", foreign.MIB)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]\n" for k in range(1, 12)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{k}: &a{k} {{<<: [{', '.join([f'*a{k - 1}'] * 10)}]}}\n" for k in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (BOMB, "more than 1,000,000 values"),
        (MERGES, "merge keys"),
        ("a: &a [*a]", "levels deep"),
        ("[" * 100_000, "not YAML"),
        ("a: " + "[" * 80 + "]" * 80, "levels deep"),
        ("a: !!python/object/apply:os.system [true]", "not YAML"),
        ("a: !!binary aGVsbG8=", "bytes"),
        ("a: !!set {b}", "set"),
        ("1: a", "key that is no text"),
        ("a: 0x" + "f" * 1000, "128 bits"),
        ("a: " + "9" * 10_000, "not YAML"),
        ("a: b: c", "not YAML"),
        ("\0", "not YAML"),
        (
            'text: &t "' + "x" * 100_000 + '"\nmany: [' + ", ".join(["*t"] * 1000) + "]",
            "characters",
        ),
    ],
)
def test_yaml_that_is_not_plain_is_refused(tmp_path, text, word):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(LanceletError, match=word) as caught:
        foreign.read_yaml(tmp_path / "config.yaml")
    assert "\n" not in str(caught.value)


def test_yaml_that_our_own_files_hold_is_read(tmp_path):
    shared = [1, 2.5, None, True, "x"]
    value = {"one": shared, "two": shared, "date": "2026-11-27", "empty": {}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(value))
    found = foreign.read_yaml(tmp_path / "config.yaml")
    assert found == value
    assert found["one"] is not found["two"]
    (tmp_path / "config.yaml").write_text("created: 2026-11-27T06:52:27Z")
    assert foreign.read_yaml(tmp_path / "config.yaml") == {"created": "2026-11-27T06:52:27Z"}


@pytest.mark.parametrize(
    "text", ["{", "[" * 100_000, "[" * 80 + "]" * 80, "1" + "0" * 100, "9" * 10_000, None]
)
def test_json_that_is_too_deep_or_too_large_is_refused(text):
    with pytest.raises(LanceletError, match=r"^settings "):
        foreign.parse_json(text, "settings")
    assert foreign.parse_json('{"a": [1, null]}', "settings") == {"a": [1, None]}


def test_arrays_come_back(tmp_path):
    arrays = {
        "qpos": np.arange(6.0).reshape(3, 2),
        "none": np.zeros((0, 4), np.float32),
        "one": np.array(1.0),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "episode.npz", **arrays)
        found = foreign.read_arrays(tmp_path / "episode.npz", tmp_path)
        assert found.keys() == arrays.keys()
        for name, values in arrays.items():
            np.testing.assert_array_equal(found[name], values)


def _npy(header: dict, data: bytes) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + data


def _zip(path, members: dict, method=zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def test_an_npz_file_that_unpacks_to_more_than_the_limit_is_refused_before_that(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(foreign, "ARRAYS_BYTES", 32 * foreign.MIB)
    path = tmp_path / "episode.npz"
    size = foreign.ARRAYS_BYTES // 2
    header = _npy({"descr": "<f8", "fortran_order": False, "shape": (size // 8,)}, b"")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.npy", "b.npy", "c.npy"):
            with archive.open(name, "w") as member:
                member.write(header)
                for _ in range(size // foreign.MIB):
                    member.write(bytes(foreign.MIB))
    assert path.stat().st_size < 2 * foreign.MIB
    with pytest.raises(LanceletError, match="unpacked, has 48 MiB: at most 32 MiB"):
        foreign.read_arrays(path)


@pytest.mark.parametrize(
    ("members", "method", "word"),
    [
        (
            {"a.npy": _npy({"descr": "<f8", "fortran_order": False, "shape": (10**12,)}, b"")},
            8,
            "size that its header",
        ),
        (
            {"a.npy": _npy({"descr": "|O", "fortran_order": False, "shape": (1,)}, b"x")},
            8,
            "objects",
        ),
        ({"a.npy": b"\x93NUMPY\x01\x00"}, 8, "cut short"),
        ({"a.npy": b"text"}, 8, "cut short"),
        ({f"{k}.npy": b"" for k in range(1001)}, 8, "1,001 arrays"),
        ({f"{k:0>40}.npy": b"" for k in range(20_000)}, 0, "table of contents"),
        (
            {"a.npy": _npy({"descr": "<f8", "fortran_order": False, "shape": ()}, bytes(8))},
            12,
            "another method",
        ),
    ],
)
def test_npz_files_that_lie_are_refused(tmp_path, members, method, word):
    _zip(tmp_path / "episode.npz", members, method)
    with pytest.raises(LanceletError, match=word):
        foreign.read_arrays(tmp_path / "episode.npz")


def test_names_of_a_zip_file(tmp_path):
    _zip(tmp_path / "a.zip", {"data": b"", "policy.pth": b""})
    assert foreign.zip_names(tmp_path / "a.zip") == ["data", "policy.pth"]
    (tmp_path / "b.zip").write_text("none")
    assert foreign.zip_names(tmp_path / "b.zip") == []


def _tensors(path, header: dict, data: bytes = b"") -> None:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def test_tensors_and_what_their_file_says_of_itself_come_back(tmp_path):
    path = tmp_path / "best.safetensors"
    tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    _tensors(
        path, {"__metadata__": {"lancelet": '{"format": 1}'}, "w": tensor}, struct.pack("<2f", 1, 2)
    )
    about, tensors = foreign.read_tensors(path, "controller", foreign.MIB)
    assert about == {"format": 1}
    assert tensors["w"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("header", "word"),
    [
        ({}, "does not say what it is"),
        ({"__metadata__": {"lancelet": "[]"}}, "names no format"),
        ({"__metadata__": {"lancelet": "["}}, "is not JSON"),
        ({"__metadata__": {"lancelet": "[" * 100_000}}, "is not JSON"),
        ({"__metadata__": {"lancelet": 1}}, "cut short"),
        ({"w": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}, "cut short"),
        ({"w": {"dtype": "F32", "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}}, "cut short"),
        ({"w": {"dtype": "X", "shape": [], "data_offsets": [0, 4]}}, "cut short"),
    ],
)
def test_a_safetensors_file_that_is_none_of_ours_is_one_line(tmp_path, header, word):
    path = tmp_path / "best.safetensors"
    _tensors(path, header)
    with pytest.raises(LanceletError, match=word) as caught:
        foreign.read_tensors(path, "controller", foreign.MIB)
    assert "\n" not in str(caught.value)


def test_the_header_of_a_safetensors_file_must_lie_in_the_file_and_be_small(tmp_path):
    path = tmp_path / "best.safetensors"
    path.write_bytes(struct.pack("<Q", 3) + b"{}")
    with pytest.raises(LanceletError, match="longer than the file"):
        foreign.read_tensors(path, "controller", foreign.MIB)
    path.write_bytes(b"abc")
    with pytest.raises(LanceletError, match="not a controller of Lancelet, or is cut short"):
        foreign.read_tensors(path, "controller", foreign.MIB)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", 17 * foreign.MIB))
        file.truncate(20 * foreign.MIB)
    with pytest.raises(LanceletError, match=r"header of .* has 17 MiB: at most 16 MiB"):
        foreign.read_tensors(path, "controller", foreign.GIB)


def test_whatever_breaks_while_building_becomes_one_line():
    for error in (TypeError("a\nb"), KeyError("x"), RecursionError("deep"), MemoryError()):
        with (
            pytest.raises(LanceletError, match=r"^config.yaml does not describe .*\)$"),
            foreign.described_by("config.yaml"),
        ):
            raise error
    with pytest.raises(LanceletError, match=r"^own$"), foreign.described_by("config.yaml"):
        raise LanceletError("own")
    with pytest.raises(KeyboardInterrupt), foreign.described_by("config.yaml"):
        raise KeyboardInterrupt


def test_values_that_json_gives_are_plain():
    value = {"a": [1, 2.5, "x", None, False]}
    assert foreign.plain_values(json.loads(json.dumps(value)), "it") == value
