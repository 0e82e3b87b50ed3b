"""Menus: what was added to them is recorded, and can be invoked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _callbacks
from ._session import S
from ._threads import Guarded

ROOTS = ("Nuke", "Pane", "Nodes", "Properties", "Animation", "Viewer", "Node Graph", "Axis")


class MenuItem(Guarded):
    def __init__(self, name: str, command: Any, shortcut: str, icon: str, tooltip: str) -> None:
        self._name, self._command, self._shortcut = name, command, shortcut
        self._icon, self._tooltip, self._enabled = icon, tooltip, True

    def name(self) -> str:
        return self._name

    def icon(self) -> str:
        return self._icon

    def shortcut(self) -> str:
        return self._shortcut

    def tooltip(self) -> str:
        return self._tooltip

    def script(self) -> Any:
        return self._command

    def setIcon(self, icon: str) -> None:
        self._icon = icon

    def setEnabled(self, enabled: bool) -> None:
        self._enabled = bool(enabled)

    def invoke(self) -> Any:
        if isinstance(self._command, str):
            return _callbacks.run_script(self._command)
        return self._command()


class Menu(MenuItem):
    def __init__(self, name: str, icon: str = "", tooltip: str = "") -> None:
        super().__init__(name, None, "", icon, tooltip)
        self._items: dict[str, MenuItem] = {}

    def items(self) -> list[MenuItem]:
        return list(self._items.values())

    def _folder(self, path: list[str], icon: str = "") -> Menu:
        here = self
        for part in path:
            found = here._items.setdefault(part, Menu(part))
            if not isinstance(found, Menu):
                raise ValueError(f"{part} is a command, not a menu")
            here = found
        if icon:
            here._icon = icon
        return here

    def addMenu(self, name: str, icon: str = "", tooltip: str = "", index: int = -1) -> Menu:
        return self._folder(name.split("/"), icon)

    def addCommand(
        self, name: str, command: str | Callable[[], Any] = "", shortcut: str = "", icon: str = "", tooltip: str = "",
        index: int = -1, readonly: bool = False, shortcutContext: int = 0,
    ) -> MenuItem:  # fmt: skip
        if not (isinstance(command, str) or callable(command)):
            raise TypeError(f"addCommand: a command is text or a function, not {command!r}")
        *folders, last = name.split("/")
        item = MenuItem(last, command, shortcut, icon, tooltip)
        self._folder(folders)._items[last] = item
        return item

    def addSeparator(self, index: int = -1) -> None:
        self._items[f"-{len(self._items)}"] = MenuItem("", "", "", "", "")

    def findItem(self, path: str) -> MenuItem | None:
        here: MenuItem | None = self
        for part in path.split("/"):
            here = here._items.get(part) if isinstance(here, Menu) else None
        return here

    def menu(self, name: str) -> MenuItem | None:
        return self.findItem(name)

    def removeItem(self, name: str) -> bool:
        return self._items.pop(name, None) is not None

    def clearMenu(self) -> None:
        self._items.clear()


class ToolBar(Menu):
    pass


def menu(name: str) -> Menu:
    """A menu of the main window. Without a GUI Nuke has these too, empty; the stand-in refuses, to find slips."""
    if not S.gui:
        raise RuntimeError(f"nuke.menu({name!r}): there is no GUI")
    if name not in ROOTS:
        raise RuntimeError(f"no menu is called {name!r}")
    return S.menus.setdefault(name, ToolBar(name) if name == "Nodes" else Menu(name))


def toolbar(name: str, create: bool = True) -> Menu:
    return menu(name)
