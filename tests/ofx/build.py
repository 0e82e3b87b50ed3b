"""Builds of the host and of the plug-in, each made once and kept by a digest of what it is made from."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOST = ROOT / "tests" / "ofx" / "host"
BRIDGE = ROOT / "ofx_bridge"
_OLD_SECONDS = 24 * 3600
_SANITIZERS = {"": "OFF", "address": "ON", "thread": "thread"}


def missing() -> str | None:
    """Why nothing can be built here; ``None``: it can."""
    if not sys.platform.startswith("linux"):
        return "the host of the tests looks into /proc"
    if shutil.which("cmake") is None:
        return "no cmake"
    compiler = os.environ.get("CXX", "c++")
    return None if shutil.which(compiler.split()[0]) else "no C++ compiler"


def host(cache: Path) -> Path:
    """The folder with ``ofx_host_SANITIZER`` and ``offenders_SANITIZER.ofx``: none, address, thread."""
    return _build(HOST, cache)


def plugin(cache: Path, sanitizer: str = "") -> Path:
    """``VDP.ofx`` in its bundle: as users get it, or with a sanitizer (``address`` or ``thread``)."""
    # Quick to build: all in one, and not optimised.
    options = [
        "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=-Wno-subobject-linkage", "-DCMAKE_UNITY_BUILD=ON",
        "-DCMAKE_UNITY_BUILD_BATCH_SIZE=0", f"-DVDP_SANITIZE={_SANITIZERS[sanitizer]}",
    ]  # fmt: skip
    return _build(BRIDGE, cache, *options) / "VDP.ofx.bundle" / "Contents" / "Linux-x86-64" / "VDP.ofx"


def _build(source: Path, cache: Path, *options: str) -> Path:
    folder = cache / f"{source.name}-{_digest(source, options)}"
    if folder.exists():
        os.utime(folder)
        return folder
    for old in cache.iterdir():
        if time.time() - old.stat().st_mtime > _OLD_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    # Elsewhere, and renamed when it is done: another session may be at it too.
    scratch = Path(tempfile.mkdtemp(prefix="build-", dir=cache))
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    _run("cmake", "-S", str(source), "-B", str(scratch), *generator, *options)
    _run("cmake", "--build", str(scratch))
    with contextlib.suppress(OSError):
        scratch.rename(folder)
    return folder


def _digest(source: Path, options: tuple[str, ...]) -> str:
    digest = hashlib.sha256(repr((options, os.environ.get("CXX"), os.environ.get("CXXFLAGS"))).encode())
    for path in sorted(path for path in source.rglob("*") if path.is_file() and path.suffix != ".md"):
        digest.update(f"{path.relative_to(source)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
