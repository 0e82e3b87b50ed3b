"""Every task of the engine by its name."""

from __future__ import annotations

from collections.abc import Mapping

from vdp_engine.model import dehaze, layers_model, relight
