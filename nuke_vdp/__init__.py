"""VDP inside Nuke: decompose a shot without leaving the script.

    import nuke_vdp
    nuke_vdp.decompose(nuke.toNode("VDP1"))              # without a GUI it blocks until the layers are there
    nuke_vdp.decompose(node, wait=False); …; nuke_vdp.wait(node)

All functions take a VDP node, run on Nuke's main thread, and raise ``nuke_vdp.errors.HostError`` with words for an
artist. Importing this package loads nothing else, so that it costs no time at Nuke's start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nuke_vdp.node import Progress
    from nuke_vdp.states import State


def decompose(node: Any, wait: bool | None = None, progress: Progress | None = None) -> State:
    """Take the plate of a node apart.

    Args:
        wait: block until it is done and adopted; by default only without a GUI.
        progress: called with an ``events.Snapshot`` about twice a second while waiting.
    """
    from nuke_vdp import node as nodes

    return nodes.decompose(node, wait, progress)


def wait(node: Any, timeout: float | None = None, progress: Progress | None = None) -> State:
    """Block until the run of a node has ended, and adopt its layers; HostError where it did not finish."""
    from nuke_vdp import node as nodes

    return nodes.wait_for(node, timeout, progress)


def cancel(node: Any) -> None:
    """Stop the run of a node; what is finished is kept."""
    from nuke_vdp import node as nodes

    nodes.cancel(node)


def status(node: Any) -> State:
    """What a node has, and what goes on: its ``name``, ``text``, ``fraction`` and ``eta_s``."""
    from nuke_vdp import node as nodes

    return nodes.state(node)


def reload(node: Any) -> State:
    """Take the layers that are on disk now."""
    from nuke_vdp import node as nodes

    return nodes.reload(node)


def show_report(node: Any) -> str:
    """The report of a node's layers in words."""
    from nuke_vdp import node as nodes

    return nodes.report(node)


def create_layer_nodes(node: Any) -> list[Any]:
    """Lay the layers out as nodes of their own, with the tree that rebuilds the plate."""
    from nuke_vdp import trees

    return trees.create_layer_nodes(node)


def send_to_farm(node: Any) -> str:
    """Hand the stages of a node's shot to a farm instead of running them here; what the farm said."""
    from nuke_vdp import node as nodes

    return nodes.send_to_farm(node)
