"""Files that appear whole or not at all, and the litter of processes that were killed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vdp_engine.errors import TryAgainError, UsageError

_HOST = re.sub(r"[^A-Za-z0-9]", "", socket.gethostname()) or "host"
_TEMPORARY = re.compile(r"^\..+\.([A-Za-z0-9]+)-(\d+)-[0-9a-f]{8}\.tmp(\.[A-Za-z0-9]+)?$")
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
_ABANDONED_SECONDS = 24 * 3600.0
_DISK_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG}


def require_stem(name: str) -> None:
    """Refuse a name that files on some system cannot begin with.

    Raises:
        UsageError: it has a character that is not allowed, or would make hidden files.
    """
    if _FORBIDDEN.search(name) or name.startswith("."):
        raise UsageError(f"{name!r} cannot be part of a file name", code="name", remedy="choose another --name")


def require_drive(folder: Path, what: str) -> None:
    """Tell a drive that this machine does not have at the moment from a file that is not there.

    Args:
        folder: the folder of files that were there when the shot was set up.
        what: names them in the message, for example ``"the plate"``.

    Raises:
        TryAgainError: ``drive``, there is no such folder.
    """
    if not folder.is_dir():
        raise TryAgainError(
            f"the folder of {what} is not there: {folder}", code="drive", path=folder,
            remedy="mount its drive on this machine, or put the folder back, then run the same command again",
        )  # fmt: skip


def require_writable(folder: Path) -> None:
    """Refuse a folder (or one to be made) that takes no files, before hours of work for it.

    Raises:
        TryAgainError: ``read_only``, its drive is mounted read-only, or it belongs to somebody else.
    """
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if there.is_dir() and not os.access(there, os.W_OK):
        raise TryAgainError(
            f"{there} is read-only on this machine", code="read_only", path=there,
            remedy="have it made writable for the user of this process, then run the same command again",
        )  # fmt: skip


def plain_stem(name: str) -> str:
    """``name`` as one that files can begin with on every system; empty where nothing is left of it."""
    return _FORBIDDEN.sub("_", name).lstrip(".")


def disk_error(path: Path, error: OSError | str) -> TryAgainError:
    """The error for a file that could not be written, whatever the reason the system gave."""
    reason = error if isinstance(error, str) else (error.strerror or str(error))
    return TryAgainError(
        f"cannot write {path}: {reason}",
        code="disk",
        path=path,
        remedy="free or change the output drive, then run the same command again: finished work is kept",
    )


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` on success, remove it on failure.

    The temporary name keeps the suffix (image writers choose the format by it) and carries host and process,
    so that two workers on one file do not touch each other's work and ``sweep`` knows whose litter it is.

    Raises:
        TryAgainError: the folder cannot be written (full, read-only, gone).
    """
    temporary = path.with_name(f".{path.stem}.{_HOST}-{os.getpid()}-{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in _DISK_ERRNOS:
            raise disk_error(path, error) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all.

    Also for libraries that write files by themselves, where these go through temporary files of other names, which
    ``sweep`` would not know. A file that holds these very bytes is left alone, so that its time tells of a change.
    """
    if _holds(path, data):
        return
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def _holds(path: Path, data: bytes) -> bool:
    with contextlib.suppress(OSError):
        if path.stat().st_size == len(data):
            return path.read_bytes() == data
    return False


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all; keys stay in their order."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def sweep(folder: Path) -> int:
    """Remove temporary files that killed processes left in ``folder``; returns how many.

    A file of this host goes when its process is gone; one of another host (a farm's shared drive) after a day.
    """
    removed = 0
    if not folder.is_dir():
        return 0
    for entry in os.scandir(folder):
        match = _TEMPORARY.match(entry.name)
        if match is None:
            continue
        with contextlib.suppress(OSError):
            if match[1] == _HOST:
                abandoned = not _alive(int(match[2]))
            else:
                abandoned = time.time() - entry.stat().st_mtime > _ABANDONED_SECONDS
            if abandoned:
                os.unlink(entry.path)
                removed += 1
    return removed


def _alive(pid: int) -> bool:
    if os.name == "nt":
        # os.kill(pid, 0) would end the process on Windows.
        import ctypes

        synchronize = 0x00100000
        kernel32 = ctypes.windll.kernel32  # type: ignore[attr-defined]
        handle = kernel32.OpenProcess(synchronize, False, pid)
        if handle:
            kernel32.CloseHandle(handle)
        return bool(handle)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
