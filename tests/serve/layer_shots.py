"""Shots with layers of known values, written by another library than the engine's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenEXR

from vdp_engine.settings import Settings
from vdp_engine.shot import Shot

Planes = dict[str, np.ndarray]
Corners = tuple[int, int, int, int]

_ALIKE = {"layers": ("bg", "fg1"), "dehaze": ("clear", "airlight"), "relight": ("relit", "gain", "noise")}


def planes(task: str, height: int, width: int, kind: type, seed: int, layers: int = 2) -> Planes:
    """Channels (height, width) of a frame as a task writes them, random, of either sign and far above 1."""
    rng = np.random.default_rng(seed)

    def light() -> np.ndarray:
        return (rng.standard_normal((height, width)) * np.exp(rng.uniform(-3, 3, (height, width)))).astype(kind)

    def share() -> np.ndarray:
        drawn = rng.uniform(-0.5, 1.5, (height, width)).clip(0, 1)
        return drawn.astype(kind)

    made: Planes = {c: light() for c in "RGB"} | {"A": share()}
    names = ("bg", *(f"fg{i}" for i in range(1, layers))) if task == "layers" else _ALIKE[task]
    for layer in names:
        made |= {f"{layer}.{c}": light() for c in "RGB"}
        if task == "layers":
            made[f"{layer}.A"] = share()
    if task == "layers":
        made |= {f"clean.{c}": light() for c in "RGB"}
    if task == "dehaze":
        made["transmission.A"] = share()
    if task == "relight":
        made |= {f"gain.{c}": np.exp(rng.standard_normal((height, width))).astype(kind) for c in "RGB"}
    made["confidence.A"] = share()
    return made | {f"residual.{c}": (light() / 1000).astype(kind) for c in "RGB"}


def write_layers(path: Path, channels: Planes, window: Corners, display: Corners, **attributes: object) -> None:
    """An EXR with windows as x, y of the first and the last pixel, y down; ``vdp/…`` attributes by their names."""

    def box(corners: Corners) -> tuple[np.ndarray, np.ndarray]:
        return np.array(corners[:2], np.int32), np.array(corners[2:], np.int32)

    header = {
        "type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIPS_COMPRESSION, "dataWindow": box(window),
        "displayWindow": box(display), **{f"vdp/{name}": value for name, value in attributes.items()},
    }  # fmt: skip
    partial = path.with_suffix(".partial")
    OpenEXR.File(header, {name: np.ascontiguousarray(plane) for name, plane in channels.items()}).write(str(partial))
    partial.rename(path)


def set_up(out: Path, frames: tuple[int, ...], **settings: object) -> Shot:
    """The shot of a folder, on a plate as a host renders it, with nothing in it yet."""
    shot = Shot(out, "shot", str(out / "plates" / "ofx_plate.#.exr"), frames, Settings.parse(**settings))
    shot.save()
    return shot
