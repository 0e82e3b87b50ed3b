"""What goes wrong in the host, in words for an artist: what happened, and what to do."""

from __future__ import annotations


class HostError(Exception):
    """Something between Nuke and the engine went wrong that a person can understand and act on."""


class EngineMissing(HostError):
    """No engine was found, or what ``VDP_ENGINE`` names is none."""
