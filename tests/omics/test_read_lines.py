"""Text files: what is accepted, and what is refused by name."""

from __future__ import annotations

import gzip
import zipfile
from functools import partial
from pathlib import Path

import pytest

from omics.read import lines
from omics.schema import DataError

#: Without the time of day: what parametrises a test must be the same in every process that collects it.
zipped = partial(gzip.compress, mtime=0)
TABLE = b"feature\ta\tb\n" + b"".join(b"cg%08d\t0.1\t0.2\n" % row for row in range(2000))


def content(path: Path) -> bytes:
    return b"".join(block.text for block in lines.read(path))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK", 1000)
    monkeypatch.setattr(lines, "_RAW", 300)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("packed", [TABLE, zipped(TABLE), zipped(TABLE[:999]) + zipped(TABLE[999:])])
def test_blocks_are_whole_lines_with_their_numbers(tmp_path, packed):
    path = tmp_path / "named_anything.tsv"
    path.write_bytes(packed)
    blocks = list(lines.read(path))
    assert len(blocks) > 10
    assert b"".join(block.text for block in blocks) == TABLE
    every = TABLE.split(b"\n")
    for block in blocks:
        assert block.text.endswith(b"\n")
        assert block.text.startswith(every[block.first - 1] + b"\n")


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbf" + TABLE,
        TABLE.replace(b"\n", b"\r\n"),
        TABLE.replace(b"\n", b"\r"),
        TABLE.rstrip(b"\n"),
        zipped(TABLE) + b"\0" * 512,
    ],
)
def test_byte_order_mark_crlf_no_last_line_end_and_gzip_padding_are_accepted(tmp_path, raw):
    path = tmp_path / "table.tsv"
    path.write_bytes(raw)
    assert content(path) == TABLE


@pytest.mark.parametrize("size", [5, 6, 7, 8])
@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_line_ends_split_between_chunks(tmp_path, monkeypatch, size, end):
    monkeypatch.setattr(lines, "BLOCK", size)
    monkeypatch.setattr(lines, "_RAW", size)
    path = tmp_path / "table.tsv"
    path.write_bytes(TABLE[:300].replace(b"\n", end))
    assert content(path).rstrip(b"\n") == TABLE[:300].rstrip(b"\n")


def test_what_inflates_a_thousandfold_comes_in_blocks(tmp_path):
    path = tmp_path / "zeros.tsv.gz"
    path.write_bytes(zipped((b"0\t" * 50_000 + b"\n") * 300))
    assert path.stat().st_size < 100_000
    assert max(len(block.text) for block in lines.read(path)) < 3 * lines.BLOCK


@pytest.mark.parametrize("cut", [1, 8, 9, 500])
def test_truncated_gzip(tmp_path, cut):
    path = tmp_path / "table.tsv.gz"
    path.write_bytes(zipped(TABLE)[:-cut])
    with pytest.raises(DataError, match="truncated gzip") as caught:
        content(path)
    assert str(path) in str(caught.value)


def test_damaged_gzip(tmp_path):
    packed = bytearray(zipped(TABLE, compresslevel=0))
    packed[1000] ^= 1  # stored blocks: only the checksum sees it
    path = tmp_path / "table.tsv.gz"
    path.write_bytes(packed)
    with pytest.raises(DataError, match="damaged gzip"):
        content(path)


def test_garbage_after_gzip(tmp_path):
    path = tmp_path / "table.tsv.gz"
    path.write_bytes(zipped(TABLE) + b"garbage")
    with pytest.raises(DataError, match="damaged gzip"):
        content(path)


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        ("feature\ta\n".encode("utf-16"), "UTF-16"),
        ("feature\ta\n".encode("utf-16-le"), "NUL byte"),
        (TABLE + b"x\0y\n", "NUL byte"),
        ("gène\ta\n".encode("latin-1"), "latin-1"),
        (b"<!DOCTYPE html><html>404</html>", "HTML"),
        (b"\n <html><body>", "HTML"),
        (b"PAR1....", "parquet"),
        (b"\xd0\xcf\x11\xe0....", "Excel"),
        (b"", "empty"),
        (zipped(b""), "empty"),
    ],
)
def test_what_is_no_text_is_refused_by_name(tmp_path, raw, what):
    path = tmp_path / "table.tsv"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=what) as caught:
        content(path)
    assert "table.tsv" in str(caught.value)
    assert caught.value.fix


def test_workbook_named_tsv(tmp_path):
    path = tmp_path / "table.tsv"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(DataError, match="Excel"):
        content(path)


def test_line_of_the_bad_byte(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_bytes(TABLE + b"caf\xe9\t1\t2\n")
    with pytest.raises(DataError, match="line 2002"):
        content(path)


def test_no_such_file_and_folder(tmp_path):
    with pytest.raises(DataError, match="no such file") as caught:
        content(tmp_path / "absent.tsv")
    assert caught.value.exit_code == 3
    with pytest.raises(DataError, match="folder"):
        content(tmp_path)


def test_reading_can_stop_early(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "BLOCK", 1000)
    path = tmp_path / "table.tsv"
    path.write_bytes(TABLE)
    blocks = lines.read(path)
    assert next(blocks).first == 1
    blocks.close()
