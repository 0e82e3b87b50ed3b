"""As much of an ELF shared object (64 bit, little endian) as tells what it brings and what it needs.

After the System V ABI, "Object Files" and "Symbol Versioning" (Linux Standard Base).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

_DYNAMIC, _DYNSYM, _VERNEED, _VERSYM = 6, 11, 0x6FFFFFFE, 0x6FFFFFFF
_GNU_STACK, _EXECUTABLE = 0x6474E551, 1
_NEEDED, _RPATH, _TEXTREL, _RUNPATH = 1, 15, 22, 29
_WEAK = 2


@dataclass(frozen=True)
class Symbol:
    """A dynamic symbol: its version's library where it is undefined and versioned."""

    name: str
    defined: bool
    weak: bool
    library: str | None


@dataclass(frozen=True)
class SharedObject:
    """What the dynamic linker reads."""

    symbols: tuple[Symbol, ...]
    needed: tuple[str, ...]
    search_paths: tuple[str, ...]
    writes_code: bool
    executable_stack: bool


def read(path: Path) -> SharedObject:
    data = path.read_bytes()
    assert data[:6] == b"\x7fELF\x02\x01", "no 64 bit little endian ELF"
    segments, sections = _tables(data)
    found = {section[1]: section for section in sections if section[1] in (_DYNAMIC, _DYNSYM, _VERNEED, _VERSYM)}
    entries = list(struct.iter_unpack("<qQ", _bytes(data, found[_DYNAMIC])))
    texts = _bytes(data, sections[found[_DYNAMIC][6]])
    return SharedObject(
        symbols=_symbols(data, found, texts),
        needed=tuple(_text(texts, value) for tag, value in entries if tag == _NEEDED),
        search_paths=tuple(_text(texts, value) for tag, value in entries if tag in (_RPATH, _RUNPATH)),
        writes_code=any(tag == _TEXTREL for tag, _ in entries),
        executable_stack=any(kind == _GNU_STACK and flags & _EXECUTABLE for kind, flags, *_ in segments),
    )


def _tables(data: bytes) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    segments_at, sections_at = struct.unpack_from("<QQ", data, 32)
    segment_size, segment_count, section_size, section_count = struct.unpack_from("<HHHH", data, 54)
    segments = [struct.unpack_from("<IIQQQQQQ", data, segments_at + i * segment_size) for i in range(segment_count)]
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, sections_at + i * section_size) for i in range(section_count)]
    return segments, sections


def _bytes(data: bytes, section: tuple[int, ...]) -> bytes:
    return data[section[4] : section[4] + section[5]]


def _text(texts: bytes, at: int) -> str:
    return texts[at : texts.index(b"\0", at)].decode()


def _symbols(data: bytes, found: dict[int, tuple[int, ...]], texts: bytes) -> tuple[Symbol, ...]:
    libraries = _libraries(_bytes(data, found[_VERNEED]), texts)
    versions = [version for (version,) in struct.iter_unpack("<H", _bytes(data, found[_VERSYM]))]
    symbols = []
    for index, (name, info, _, section, _, _) in enumerate(struct.iter_unpack("<IBBHQQ", _bytes(data, found[_DYNSYM]))):
        if index:  # the first is none
            library = libraries.get(versions[index] & 0x7FFF)
            symbols.append(Symbol(_text(texts, name), section != 0, info >> 4 == _WEAK, library))
    return tuple(symbols)


def _libraries(needs: bytes, texts: bytes) -> dict[int, str]:
    """The library of each version index."""
    libraries, at = {}, 0
    while needs:
        _, count, file, first, following = struct.unpack_from("<HHIII", needs, at)
        entry = at + first
        for _ in range(count):
            _, _, other, _, step = struct.unpack_from("<IHHII", needs, entry)
            libraries[other] = _text(texts, file)
            entry += step
        if not following:
            break
        at += following
    return libraries
