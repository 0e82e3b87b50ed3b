"""Plug-in folders: init.py and menu.py run when one is added, gizmos are found in them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ._session import S

_here: list[str] = []


def _resolve(path: str) -> str:
    """A relative path is seen from the folder whose init.py or menu.py names it."""
    path = os.path.expanduser(path)
    base = _here[-1] if _here else os.getcwd()
    return os.path.normpath(path if os.path.isabs(path) else os.path.join(base, path)).replace(os.sep, "/")


def _run(folder: str, name: str) -> None:
    file = Path(folder, name)
    if not file.is_file():
        return
    import nuke

    _here.append(folder)
    try:
        code = compile(file.read_text(encoding="utf-8"), str(file), "exec")
        exec(code, {"__name__": "__main__", "__file__": str(file), "nuke": nuke})
    finally:
        _here.pop()


def _add(paths: str | list[str] | tuple[str, ...], addToSysPath: bool, at_end: bool) -> None:
    for path in [paths] if isinstance(paths, str) else list(paths):
        folder = _resolve(path)
        if folder in S.plugin_path:
            continue
        S.plugin_path.insert(len(S.plugin_path) if at_end else 0, folder)
        if addToSysPath and folder not in sys.path:
            sys.path.insert(len(sys.path) if at_end else 0, folder)
            S.sys_path_added.append(folder)
        _run(folder, "init.py")
        if S.gui:
            _run(folder, "menu.py")


def pluginAddPath(paths: str | list[str] | tuple[str, ...], addToSysPath: bool = True) -> None:
    """Puts folders in front of the plug-in path."""
    _add(paths, addToSysPath, False)


def pluginAppendPath(paths: str | list[str] | tuple[str, ...], addToSysPath: bool = True) -> None:
    _add(paths, addToSysPath, True)


def pluginPath() -> list[str]:
    return list(S.plugin_path)


def pluginExists(name: str) -> bool:
    return any(find(name + end) for end in ("", ".gizmo"))


def find(file: str) -> str | None:
    """The file in the first folder of the plug-in path that has it."""
    for folder in S.plugin_path:
        path = os.path.join(folder, file)
        if os.path.isfile(path):
            return path.replace(os.sep, "/")
    return None


def load(name: str) -> None:
    if find(name) is None and find(name + ".gizmo") is None:
        raise RuntimeError(f"{name}: Plugin not found")
