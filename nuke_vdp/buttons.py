"""The buttons of a VDP node, and how trouble is told to whoever pressed one."""

from __future__ import annotations

from typing import Any, Callable

import nuke

from nuke_vdp import finished
from nuke_vdp import node as nodes
from nuke_vdp.errors import HostError
from nuke_vdp.states import FAILED


def press(button: str) -> None:
    """A button of the node that is being looked at was pressed; what goes wrong is told in words."""
    node = nuke.thisNode()
    try:
        _ACTIONS[button](node)
    except HostError as error:
        if not nuke.GUI:
            raise
        from nuke_vdp import ui

        nodes.refresh(node)
        nodes.show_words(node, FAILED, str(error))
        ui.message(str(error))


def _press_report(node: Any) -> None:
    text = nodes.report(node)
    if not nuke.GUI:
        print(text)
        return
    from nuke_vdp import ui

    ui.show_report(text, finished.sheet(nodes.folder_with_layers(node)))


def _press_layer_nodes(node: Any) -> None:
    from nuke_vdp import trees

    trees.create_layer_nodes(node)


def _press_farm(node: Any) -> None:
    said = nodes.send_to_farm(node)
    if nuke.GUI and said:
        from nuke_vdp import ui

        ui.message(said)


_ACTIONS: dict[str, Callable[[Any], Any]] = {
    "decompose": nodes.decompose,
    "cancel": nodes.cancel,
    "reload": nodes.reload,
    "report": _press_report,
    "layer_nodes": _press_layer_nodes,
    "farm": _press_farm,
    "add_hint_frame": nodes.add_hint_frame,
}
