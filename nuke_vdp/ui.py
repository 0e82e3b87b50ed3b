"""What is shown of VDP in Nuke's GUI: labels, tile colours, messages, the panel. Never called without a GUI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nuke

from nuke_vdp import knobs

if TYPE_CHECKING:
    from nuke_vdp.states import State

PANEL_ID = "vdp.Runs"
PANEL_TITLE = "VDP Runs"
PANEL_WIDGET = "__import__('nuke_vdp.panel').panel.RunsPanel"

TILE_COLOURS: dict[str, int] = {
    "not decomposed": 0x5A5A78FF,
    "queued": 0x7A7A4CFF,
    "running": 0x4C6E9EFF,
    "done": 0x4F8A5BFF,
    "out of date": 0xB58A3CFF,
    "failed": 0xA04040FF,
    "stopped": 0x7A6A5AFF,
}


def show_panel() -> None:
    """Open the panel of runs beside the properties."""
    from nukescripts import panels

    panel = panels.registerWidgetAsPanel(PANEL_WIDGET, PANEL_TITLE, PANEL_ID, True)
    panel.addToPane(nuke.getPaneFor("Properties.1"))


def autolabel() -> str:
    """The text on a VDP node: its name, what it shows, and its state."""
    node = nuke.thisNode()
    lines = [str(node.name())]
    if node["show"].value() != "plate":
        lines[0] += f" ({node['show'].value()})"
    state = str(node[knobs.STATUS].value() or "").replace("<b>", "").replace("</b>", "")
    label = str(knobs.text(node, "label"))
    return "\n".join(line for line in (*lines, state, label) if line)


def show_state(node: Any, state: State) -> None:
    """Tile colour, and which knobs can be changed."""
    colour = TILE_COLOURS[state.name]
    if int(node["tile_color"].value()) != colour:
        node["tile_color"].setValue(colour)
    custom = node["frame_range"].value() == "custom"
    wanted = {
        "first": custom,
        "last": custom,
        "layers": node["task"].value() == "layers",
        "flow_layer": node["flow"].value() == "motion vectors of the input",
        "cancel": state.name in ("queued", "running"),
    }
    for name, enabled in wanted.items():
        if bool(node[name].enabled()) != enabled:
            node[name].setEnabled(enabled)


def message(text: str) -> None:
    """A box with words; for button presses only."""
    nuke.message(text)


def show_report(text: str, sheet: str | None) -> None:
    """The report in a box that offers the contact sheet."""
    if sheet is None:
        nuke.message(text)
    elif nuke.ask(f"{text}\n\nOpen the contact sheet?"):
        import nukescripts

        nukescripts.start(sheet)
