"""Run by Nuke at its start, with a GUI and without: makes ``nuke_vdp``, its gizmo and its icon findable.

Nuke runs this file because NUKE_PATH, or a line of ~/.nuke/init.py, names the folder it lies in. Nuke runs such files
in one namespace that they all share, so this one leaves no names there, and whatever goes wrong here becomes one line
in the terminal.
"""


def _vdp_init() -> None:
    import os
    import sys

    import nuke

    here = os.path.dirname(os.path.abspath(__file__))
    parent = os.path.dirname(here)
    # Nuke puts the folders of NUKE_PATH on sys.path. Modules named node or process must not be found by others there.
    sys.path[:] = [entry for entry in sys.path if os.path.normcase(str(entry)).rstrip("/\\") != os.path.normcase(here)]
    plain = here.replace("\\", "/")
    known = [path.replace("\\", "/").rstrip("/") for path in nuke.pluginPath()]
    others = [path for path in known if path.endswith("/nuke_vdp/gizmos") and path != f"{plain}/gizmos"]
    if others:
        # The gizmo of one with the Python of the other would be worse than either.
        print(f"VDP: {os.path.dirname(others[0])} is used, {here} is left out: NUKE_PATH and init.py name both")
        return
    if parent not in sys.path:
        sys.path.append(parent)
    for folder in ("gizmos", "icons"):
        nuke.pluginAddPath(f"{plain}/{folder}", addToSysPath=False)


try:
    _vdp_init()
except Exception as _vdp_error:
    print(f"VDP: the node is not available in this session: {_vdp_error}")
finally:
    del _vdp_init
