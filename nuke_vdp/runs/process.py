"""Child processes that outlive their parent: start them detached, know them again, stop them.

A process id alone names nobody, for the system gives it out again. With the moment the process began it is unique.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nuke_vdp.errors import HostError

WINDOWS = sys.platform == "win32"
_PS_SECONDS = 1.0  # a look by `ps` costs some milliseconds: not at every poll


class Process(NamedTuple):
    """A process of this machine; ``identity`` is the moment it began, as the system writes it."""

    pid: int
    identity: str


# Children of this process. They are kept so that they can be reaped, and their exit codes asked for.
_children: dict[Process, subprocess.Popen[bytes]] = {}
_ps_seen: dict[int, tuple[float, tuple[str, bool]]] = {}


def start(command: Sequence[str], stdout: Path, stderr: Path, environment: Mapping[str, str], folder: Path) -> Process:
    """Start a command in a session of its own, its output straight into files (made anew).

    Neither the end of this process nor of its terminal ends the child.

    Raises:
        OSError: the command or a file cannot be used.
    """
    options: dict[str, Any] = {"start_new_session": True}
    if WINDOWS:
        # A console of its own: one shared with the host would take the child along when it closes.
        options = {"creationflags": 0x00000200 | 0x08000000}  # CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW
    with stdout.open("wb") as out, stderr.open("wb") as errors:
        child = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=out, stderr=errors, env=dict(environment), cwd=str(folder),
            **options,
        )  # fmt: skip
    process = Process(child.pid, _look(child.pid)[0])
    _children[process] = child
    return process


def this_process() -> Process:
    """The process that asks."""
    return Process(os.getpid(), _look(os.getpid())[0])


def alive(process: Process) -> bool:
    """Whether this very process still runs; a zombie does not."""
    child = _children.get(process)
    if child is not None and child.poll() is not None:
        return False
    identity, runs = _look(process.pid)
    return runs and identity == process.identity


def exit_code(process: Process) -> int | None:
    """How a child of this process ended (minus the signal that ended it); none where that cannot be known."""
    child = _children.get(process)
    return None if child is None else child.poll()


def stop(process: Process) -> None:
    """Ask the process and all it started to end. On Windows they are ended at once.

    There a console event would reach only processes of this program's own console, and the engine's files are whole
    at every moment: the work since its last checkpoint is what is lost.

    Raises:
        HostError: it belongs to another user.
    """
    _signal(process, signal.SIGTERM)


def kill(process: Process) -> None:
    """End the process and all it started at once; HostError as ``stop``."""
    _signal(process, signal.SIGTERM if WINDOWS else signal.SIGKILL)


def _signal(process: Process, signum: int) -> None:
    if not alive(process):
        return
    if WINDOWS:
        _end_tree(process.pid)
        return
    try:
        os.killpg(process.pid, signum)  # it leads a group of its own, whose number is its own
    except ProcessLookupError:
        return
    except PermissionError:
        raise HostError(f"Process {process.pid} of this run belongs to another user, who alone can stop it") from None


def _look(pid: int) -> tuple[str, bool]:
    """The moment a process began, and whether it runs; an empty text where there is no such process."""
    if WINDOWS:
        return _look_windows(pid)
    if os.path.exists("/proc/self/stat"):
        return _look_proc(pid)
    now = time.monotonic()
    seen = _ps_seen.get(pid)
    if seen is None or now - seen[0] > _PS_SECONDS:
        seen = _ps_seen[pid] = (now, _look_ps(pid))
    return seen[1]


def _look_proc(pid: int) -> tuple[str, bool]:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return "", False
    # The program's name, in brackets, may hold anything; state and, 19 fields on, the start in ticks since boot follow.
    values = stat[stat.rindex(b")") + 2 :].split()
    return f"{boot}:{int(values[19])}", values[0] not in (b"Z", b"X")


def _look_ps(pid: int) -> tuple[str, bool]:
    """Elsewhere on POSIX (macOS)."""
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    plain = {"LC_ALL": "C", "TZ": "UTC", "PATH": "/bin:/usr/bin"}
    told = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=plain, check=False)
    state, _, began = told.stdout.decode("ascii", "replace").strip().partition(" ")
    return " ".join(began.split()), bool(state) and not state.startswith("Z")


def _look_windows(pid: int) -> tuple[str, bool]:
    from ctypes import wintypes

    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined,unused-ignore]
    kernel.OpenProcess.restype = wintypes.HANDLE
    kernel.OpenProcess.argtypes = [wintypes.DWORD, wintypes.BOOL, wintypes.DWORD]
    kernel.CloseHandle.argtypes = [wintypes.HANDLE]
    kernel.GetExitCodeProcess.argtypes = [wintypes.HANDLE, ctypes.POINTER(wintypes.DWORD)]
    kernel.GetProcessTimes.argtypes = [wintypes.HANDLE] + [ctypes.POINTER(wintypes.FILETIME)] * 4
    handle = kernel.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
    if not handle:
        return "", False
    try:
        times = [wintypes.FILETIME() for _ in range(4)]
        code = wintypes.DWORD()
        if not kernel.GetProcessTimes(handle, *(ctypes.byref(moment) for moment in times)):
            return "", False
        if not kernel.GetExitCodeProcess(handle, ctypes.byref(code)):
            return "", False
        began = times[0].dwHighDateTime << 32 | times[0].dwLowDateTime
        return str(began), code.value == 259  # STILL_ACTIVE
    finally:
        kernel.CloseHandle(handle)


def _end_tree(pid: int) -> None:
    taskkill = os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "taskkill.exe")
    subprocess.run(
        [taskkill, "/T", "/F", "/PID", str(pid)], stdin=subprocess.DEVNULL, capture_output=True, check=False,
        creationflags=0x08000000,  # CREATE_NO_WINDOW
    )  # fmt: skip
