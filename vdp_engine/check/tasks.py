"""Every task of the stage ``check`` by its name."""

from __future__ import annotations

from collections.abc import Mapping

from vdp_engine.check import dehaze, layers, relight
