"""Files that other programs read while they are written: whole or not at all. Files only, no Nuke."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write a small UTF-8 file in one step; OSError where it cannot be."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        partial.write_text(text, encoding="utf-8")
        replace(partial, path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def replace(source: Path, target: Path) -> None:
    """``os.replace``; on Windows a reader of the target can be in the way for a moment."""
    for _ in range(20):
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if os.name != "nt":
                raise
            time.sleep(0.05)
    os.replace(source, target)
