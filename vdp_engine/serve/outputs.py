"""What a host can show of a layer file, by name, and how it is made of the file's channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vdp_engine import equations
from vdp_engine.equations import RGB

Picture = NDArray[np.float32]

RECOMPOSITION = "recomposition"
_RGBA = (*RGB, "A")
_FROM_EQUATION = {
    "layers": ("bg", "fg1", "fg2", "fg3", "residual"),
    "dehaze": ("clear", "airlight", "transmission", "residual"),
    "relight": ("relit", "gain", "noise", "residual"),
}
_LAYERS = ("bg", "fg1", "fg2", "fg3")
_COLOURS = ("clean", "clear", "airlight", "relit", "gain", "noise", "residual")


class Output(NamedTuple):
    """One output of a layer file.

    ``channels`` are those it is made of. Four are R G B A, ``alpha`` saying how they are written (premultiplied or
    straight, "" where A is no opacity); three are R G B, and A is 1; one is shown in all four.
    """

    name: str
    channels: tuple[str, ...]
    alpha: str = ""


def outputs_of(task: str, names: Sequence[str], alpha: str) -> dict[str, Output]:
    """The outputs by name that a layer file has, from its channels' names; ``alpha`` as in ``Settings``."""
    listed = [Output("plate", RGB)]
    listed += [Output(layer, _full(layer, _RGBA), alpha) for layer in _LAYERS]
    listed += [Output(layer, _full(layer, RGB)) for layer in _COLOURS]
    listed += [Output("transmission", _full("transmission", channels)) for channels in ("A", RGB, _RGBA)]
    listed.append(Output("confidence", _full("confidence", "A")))
    if task == "layers":
        listed.append(Output("matte", _RGBA, "straight"))
    # Of several of one name the last that is there: the transmission may be another for each colour.
    there = {one.name: one for one in listed if set(one.channels) <= set(names)}
    parts = tuple(name for name in names if name.split(".")[0] in _FROM_EQUATION.get(task, ()))
    if "residual" in there and len(parts) > len(RGB):
        there[RECOMPOSITION] = Output(RECOMPOSITION, parts)
    return there


def _full(layer: str, channels: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{layer}.{channel}" for channel in channels)


def as_rgba(output: Output, channels: Picture, alpha: str) -> Picture:
    """An output as R G B A.

    Args:
        channels: float32 (H, W, C) as written, scene-linear, in the order of ``output.channels``.
        alpha: the state wanted, ``premultiplied`` or ``straight``. Straight colour where alpha is 0 is what is written.

    Returns:
        float32 (H, W, 4); ``channels`` itself where it is that already.
    """
    count = len(output.channels)
    if count == 4 and output.alpha in ("", alpha):
        return channels
    picture = np.empty((*channels.shape[:2], 4), np.float32)
    if count == 1:
        picture[...] = channels
        return picture
    if count == 3:
        picture[..., :3] = channels
        picture[..., 3] = 1
        return picture
    picture[...] = channels
    opacity = picture[..., 3:]
    if alpha == "premultiplied":
        picture[..., :3] *= opacity
    else:
        np.divide(picture[..., :3], opacity, out=picture[..., :3], where=opacity != 0)
    return picture


def recomposed(
    task: str, channels: Mapping[str, Picture], *, alpha: str, gamma: float, haze: float, mix: float
) -> Picture:
    """The task's equation on the written channels, with the artist's knobs, and A = 1.

    Args:
        channels: float32 (H, W) by name, scene-linear.
        alpha: how the layers' colours are written.
        gamma: of relight.
        haze: of dehaze, 1 is the plate's.
        mix: of relight, 0 is the plate's light.

    Returns:
        float32 (H, W, 4).
    """
    controls: dict[str, dict[str, float | bool]] = {
        "layers": {"straight": alpha == "straight"},
        "dehaze": {"haze_amount": haze},
        "relight": {"gamma": gamma, "exposure_mix": mix},
    }
    light = equations.recompose(task, channels, **controls[task])
    return as_rgba(Output(RECOMPOSITION, RGB), light, "premultiplied")
