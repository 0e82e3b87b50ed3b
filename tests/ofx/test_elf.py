"""The reader of ELF files, against binutils."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.ofx import elf


@pytest.mark.skipif(shutil.which("readelf") is None, reason="no readelf")
def test_symbols_and_libraries_are_those_of_readelf(host_build: Path) -> None:
    path = host_build / "offenders_none.ofx"
    command = ["readelf", "-W", "--dyn-syms", "-d", str(path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    read = elf.read(path)
    assert set(read.needed) == set(re.findall(r"\(NEEDED\).*\[(.*)\]", told))
    rows = re.findall(r"^ +[1-9]\d*: .* (GLOBAL|WEAK) +\w+ +(\w+) ([^\s@]+)", told, re.MULTILINE)
    expected = {(name, section != "UND", binding == "WEAK") for binding, section, name in rows}
    assert {(symbol.name, symbol.defined, symbol.weak) for symbol in read.symbols} == expected
    assert {symbol.library for symbol in read.symbols if symbol.name == "fork"} == {"libc.so.6"}
