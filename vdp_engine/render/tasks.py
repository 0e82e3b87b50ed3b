"""Every task of the stage ``render`` by its name."""

from __future__ import annotations

from collections.abc import Mapping

from vdp_engine.render import dehaze, layers, relight
