"""The VDP node as a rez package: rez-build --install in this folder copies nuke_vdp into it.

The engine is not part of it. The package leads the node to the engine that VDP_ENGINE names when it is built, else to
the checkout that it is built from; a VDP_ENGINE that is set where the package is used goes first.
"""

name = "vdp_nuke"

version = "0.1.0"

description = "The VDP node for Nuke: takes one shot apart into the layers a compositor works with"

authors = ["The VDP authors"]

# Only where Nuke is in the environment too, and then this version of it.
requires = ["~nuke-14+<18"]

# The Python of rez itself: there need not be another in the environment.
build_command = 'rez python "{root}/build.py"'


@early()  # noqa: F821
def engine():
    """What the node starts, as it is known where the package is built."""
    import os

    checkout = os.path.dirname(os.path.dirname(os.path.dirname(os.getcwd())))
    return os.environ.get("VDP_ENGINE") or checkout


def commands():
    env.NUKE_PATH.append("{root}/nuke_vdp")  # noqa: F821
    if not defined("VDP_ENGINE"):  # noqa: F821
        env.VDP_ENGINE = this.engine  # noqa: F821
