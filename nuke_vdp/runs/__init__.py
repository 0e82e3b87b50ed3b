"""The engine at work as a child process that outlives Nuke: start it, find it again, follow it, stop it.

Files and processes only; nothing here knows of Nuke.
"""

from nuke_vdp.runs.run import Run, find, queue, start

__all__ = ["Run", "find", "queue", "start"]
