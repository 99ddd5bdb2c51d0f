"""Text files as blocks of whole lines: decompressed, checked to be text, and read one block ahead."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

from omics.schema import DataError

T = TypeVar("T")

#: Bytes of text in one block: fits the cache of a core, and is many rows.
BLOCK = 4 * 2**20
_RAW = 2**20
_AS_TEXT = "save it as UTF-8 text, tab or comma separated"

#: First bytes of files that are not text, whatever their name says.
_SIGNATURES = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook", _AS_TEXT),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", _AS_TEXT),
    (b"PAR1", "a parquet file", "name it *.parquet"),
    (b"%PDF", "a PDF document", _AS_TEXT),
    (b"BZh", "a bzip2 archive", "decompress it, or compress it with gzip"),
    (b"\xfd7zXZ", "an xz archive", "decompress it, or compress it with gzip"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "decompress it, or compress it with gzip"),
    (b"\xff\xfe", "UTF-16 text", "convert it: iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "convert it: iconv -f UTF-16 -t UTF-8"),
)


class Lines(NamedTuple):
    """Whole lines of a file.

    Attributes
    ----------
    first : int
        Number of the first line, from 1.
    text : bytes
        The lines, each ended by a line feed.
    """

    first: int
    text: bytes


def require_file(path: Path) -> None:
    """Refuse a path that is no file, or a file of no bytes.

    Raises
    ------
    DataError
        With the path.
    """
    if not path.exists():
        raise DataError("no such file", where=str(path), fix="check the path")
    if not path.is_file():
        raise DataError("this is a folder, not a file", where=str(path), fix="name the file itself")
    if path.stat().st_size == 0:
        raise DataError("the file is empty", where=str(path), fix="get the file again")


def read(path: Path) -> Iterator[Lines]:
    """Blocks of whole lines of a text file, gzip or not; the next block is made while one is used.

    A byte order mark is taken off; CRLF, and CR alone, become LF.

    Parameters
    ----------
    path : pathlib.Path
        The file; its content, not its name, says whether it is compressed.

    Raises
    ------
    DataError
        The file is missing, empty, truncated or damaged, or is not UTF-8 text.
    """
    require_file(path)
    return ahead(_lines(path))


def read_all(path: Path) -> str:
    """Text of a small file, checked as :func:`read` does."""
    return b"".join(block.text for block in read(path)).decode()


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, each computed in a thread while the one before is used."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = pool.submit(next, items, None)
            yield item


def _lines(path: Path) -> Iterator[Lines]:
    first, rest = 1, b""
    for chunk in _unix_ends(_grouped(_decompressed(path))):
        end = chunk.rfind(b"\n") + 1
        if not end:
            rest += chunk
            continue
        block = _checked(rest + chunk[:end], first, path)
        yield block
        first, rest = first + block.text.count(b"\n"), chunk[end:]
    if rest:
        yield _checked(rest + b"\n", first, path)
    elif first == 1:
        raise DataError("the file is empty", where=str(path), fix="get the file again")


def _grouped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in chunks of at least :data:`BLOCK`."""
    waiting: list[bytes] = []
    size = 0
    for chunk in chunks:
        waiting.append(chunk)
        size += len(chunk)
        if size >= BLOCK:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def _unix_ends(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same text with every CRLF, and every CR alone, as LF."""
    held = b""  # a CR at the end of a chunk, of which the LF may come next
    for chunk in chunks:
        text = held + chunk
        held = text[-1:] if text.endswith(b"\r") else b""
        text = text.removesuffix(b"\r")
        yield text.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in text else text
    if held:
        yield b"\n"


def _decompressed(path: Path) -> Iterator[bytes]:
    """Content of a file that does not begin like another format, without its byte order mark."""
    with path.open("rb") as handle:
        head = handle.read(_RAW)
        zipped = head.startswith(b"\x1f\x8b")
        raw = _chain(head, handle)
        chunks = _inflated(raw, path) if zipped else raw
        start = next(chunks, b"")
        _refuse_other_formats(start, path)
        yield start.removeprefix(b"\xef\xbb\xbf")
        yield from chunks


def _chain(head: bytes, handle: BinaryIO) -> Iterator[bytes]:
    yield head
    yield from iter(lambda: handle.read(_RAW), b"")


def _inflated(raw: Iterator[bytes], path: Path) -> Iterator[bytes]:
    """Content of one or more gzip members; zlib compares their checksums, and lets other threads run."""
    member = zlib.decompressobj(wbits=31)
    for chunk in raw:
        data = chunk
        while data:
            if member.eof:
                data = data.lstrip(b"\0")  # padding after a member is legal
                if not data:
                    break
                member = zlib.decompressobj(wbits=31)
            yield _inflate(member, data, path)
            data = member.unused_data if member.eof else member.unconsumed_tail
    while not member.eof:
        rest = _inflate(member, b"", path)
        if not rest:
            raise DataError("truncated gzip file: it ends in the middle", where=str(path), fix="get the file again")
        yield rest


def _inflate(member: Any, data: bytes, path: Path) -> bytes:
    """Next content of a member, at most :data:`BLOCK`: a megabyte of zeros can inflate to a gigabyte."""
    try:
        return bytes(member.decompress(data, BLOCK))
    except zlib.error as error:
        raise DataError(f"damaged gzip file ({error})", where=str(path), fix="get the file again") from error


def _refuse_other_formats(start: bytes, path: Path) -> None:
    for signature, name, fix in _SIGNATURES:
        if start.startswith(signature):
            raise DataError(f"this is {name}, not a text table", where=str(path), fix=fix)
    if start.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html", b"<?xml")):
        raise DataError(
            "this is an HTML or XML page, not a table", where=str(path), fix="the download failed; get the file again"
        )


def _checked(text: bytes, first: int, path: Path) -> Lines:
    """Lines known to be UTF-8 without NUL."""
    if b"\0" in text:
        line = first + text[: text.index(b"\0")].count(b"\n")
        raise DataError(
            "NUL byte: this is binary, UTF-16 or damaged",
            where=f"{path}, line {line}",
            fix=f"{_AS_TEXT}, or get it again",
        )
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError as error:
            line = first + text[: error.start].count(b"\n")
            raise DataError(
                f"byte 0x{text[error.start]:02x} is not UTF-8, perhaps latin-1",
                where=f"{path}, line {line}",
                fix="convert it: iconv -f LATIN1 -t UTF-8",
            ) from error
    return Lines(first, text)
