"""Run by Nuke after init.py, only with a GUI: the node in the Nodes menu (and so in the Tab search), labels, the panel.

Nothing of VDP is loaded here but this file: the rest comes with the first VDP node. It shares its namespace with the
menu.py of everybody else, so it leaves no names there, and whatever goes wrong becomes one line in the terminal.
"""


def _vdp_menu() -> None:
    import sys

    import nuke
    from nukescripts import panels

    def autolabel() -> str:
        from nuke_vdp import ui

        return ui.autolabel()

    def update_ui() -> None:
        from nuke_vdp import node

        node.update_ui()

    def on_script_load() -> None:
        # A VDP node in the script has loaded this when it was created.
        node = sys.modules.get("nuke_vdp.node")
        if node is not None:
            node.on_script_load()

    if nuke.menu("Nodes").findItem("VDP/VDP") is not None:
        return  # NUKE_PATH and a line of init.py lead here
    menu = nuke.menu("Nodes").addMenu("VDP", icon="VDP.png")
    menu.addCommand("VDP", "nuke.createNode('VDP')", icon="VDP.png")
    menu.addCommand("VDP Runs", "import nuke_vdp.ui; nuke_vdp.ui.show_panel()")
    nuke.addAutolabel(autolabel, nodeClass="VDP")
    nuke.addUpdateUI(update_ui, nodeClass="VDP")
    nuke.addOnScriptLoad(on_script_load)
    panels.registerWidgetAsPanel("__import__('nuke_vdp.panel').panel.RunsPanel", "VDP Runs", "vdp.Runs")


try:
    _vdp_menu()
except Exception as _vdp_error:
    print(f"VDP: the node has no menu in this session: {_vdp_error}")
finally:
    del _vdp_menu
