"""A stand-in for nukescripts: panels and a few helpers, for tests."""

from __future__ import annotations

from typing import Any

from nuke import _callbacks
from nuke._api import allNodes, root
from nuke._menu import menu
from nuke._session import S


class PythonPanel:
    """A panel of knobs; needs a GUI."""

    def __init__(self, title: str = "", id: str = "") -> None:
        if not S.gui:
            raise RuntimeError("nukescripts.PythonPanel: there is no GUI")
        self.title, self.id, self.widget = title, id, ""
        self._knobs: dict[str, Any] = {}

    def addKnob(self, knob: Any) -> None:
        self._knobs[knob.name()] = knob

    def addToPane(self, pane: Any = None) -> Any:
        S.messages.append(("pane", self.title))
        return pane

    def knobs(self) -> dict[str, Any]:
        return self._knobs

    def show(self) -> None:
        S.messages.append(("panel", self.title))

    def showModalDialog(self) -> bool:
        S.messages.append(("dialog", self.title))
        return bool(S.answers.pop(0)) if S.answers else False


class panels:
    """The namespace nukescripts.panels."""

    PythonPanel = PythonPanel

    @staticmethod
    def registerWidgetAsPanel(widget: str, name: str, id: str, create: bool = False) -> Any:
        if not S.gui:
            raise RuntimeError("registerWidgetAsPanel: there is no GUI")
        if not isinstance(widget, str):
            raise TypeError("registerWidgetAsPanel takes the widget's name as text that Python can evaluate")
        S.panels[id] = PythonPanel(name, id)
        S.panels[id].widget = widget
        menu("Pane").addCommand(name, lambda: None)
        return S.panels[id] if create else None

    @staticmethod
    def restorePanel(id: str) -> Any:
        """The panel; its widget's class is looked up now, as Nuke does."""
        panel = S.panels[id]
        if not callable(_callbacks.evaluate(panel.widget)):
            raise TypeError(f"no class of a widget: {panel.widget}")
        return panel


registerWidgetAsPanel = panels.registerWidgetAsPanel


def start(target: str) -> None:
    """Opens a file or address with the desktop's program."""
    S.messages.append(("start", target))


def clear_selection_recursive(group: Any = None) -> None:
    for node in allNodes(None, group or root(), True):
        node.setSelected(False)


def addDropDataCallback(call: Any) -> None:
    if not callable(call):
        raise ValueError("not callable")
