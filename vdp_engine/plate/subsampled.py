"""Luminance-chroma OpenEXR files: luminance Y, and colour differences RY and BY with one sample in 2 by 2 pixels.

OpenImageIO refuses channels with fewer samples than pixels, so these files, and only these, are read with the
OpenEXR module.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vdp_engine.plate.windows import Window

CHROMA = frozenset({"RY", "BY"})
REC709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)

# OpenEXR's own names as OpenImageIO spells them.
_SPELLED = {
    "owner": "Copyright",
    "comments": "ImageDescription",
    "capDate": "DateTime",
    "timeCode": "smpte:TimeCode",
    "xDensity": "XResolution",
    "expTime": "ExposureTime",
}


class Unsupported(Exception):
    """The file is not a luminance-chroma image that can be read; says why."""


class Header(NamedTuple):
    """What ``header.Part`` needs; ``attributes`` map OpenImageIO's name to its type, as text, and the value."""

    data_window: Window
    display_window: Window
    pixel_aspect: float
    channels: tuple[str, ...]
    kinds: tuple[str, ...]
    compression: str
    tiled: bool
    attributes: dict[str, tuple[str, Any]]


def read_header(path: Path) -> Header:
    """The header of a luminance-chroma file.

    Raises:
        Unsupported: the file has other subsampled channels, is damaged, or the OpenEXR module is not there.
    """
    module = _module()
    try:
        header = module.File(str(path), header_only=True).header()
        kinds = {name: str(channel.type) for name, channel in module.InputFile(str(path)).header()["channels"].items()}
    except (RuntimeError, ValueError, OSError) as error:
        raise Unsupported(str(error)) from error
    sampling = {channel.name: (channel.xSampling, channel.ySampling) for channel in header["channels"]}
    coarse = {name for name, steps in sampling.items() if steps != (1, 1)}
    if "Y" not in sampling or not coarse <= CHROMA or any(sampling[name] != (2, 2) for name in coarse):
        raise Unsupported(f"channels {', '.join(sorted(coarse))} have fewer samples than pixels")
    compression = header["compression"].name.removesuffix("_COMPRESSION").lower()
    return Header(
        data_window=_window(header["dataWindow"]),
        display_window=_window(header["displayWindow"]),
        pixel_aspect=float(header.get("pixelAspectRatio", 1.0)),
        channels=tuple(sampling),
        kinds=tuple(kinds[name].lower() for name in sampling),
        compression="none" if compression == "no" else compression,
        tiled="tiles" in header,
        attributes=_attributes(header),
    )


def read_channels(path: Path, names: Iterable[str]) -> npt.NDArray[np.float32]:
    """Channels at full size, float32 ``(H, W, len(names))``; chroma is interpolated linearly between its samples.

    Raises:
        Unsupported: the file is damaged or ends early.
    """
    try:
        channels = _module().File(str(path), separate_channels=True).channels()
        full = channels["Y"].pixels.shape
        planes = [_full_size(channels[name].pixels.astype(np.float32), full) for name in names]
    except (RuntimeError, ValueError, OSError, KeyError) as error:
        raise Unsupported(str(error)) from error
    return np.stack(planes, axis=-1)


def to_rgb(ycc: npt.NDArray[np.float32], chromaticities: Iterable[float] | None) -> npt.NDArray[np.float32]:
    """Linear RGB of luminance-chroma pixels.

    From the definitions Y = wr R + wg G + wb B, RY = (R - Y) / Y and BY = (B - Y) / Y ("Technical Introduction to
    OpenEXR", luminance/chroma images), w being the middle row of the primaries' matrix to XYZ.

    Args:
        ycc: ``(H, W, 3)`` float32 Y, RY, BY.
        chromaticities: x, y of red, green, blue and white; None stands for Rec. 709.
    """
    red_weight, green_weight, blue_weight = luminance_weights(chromaticities)
    luminance = ycc[..., 0]
    rgb = np.empty_like(ycc)
    rgb[..., 0] = (ycc[..., 1] + 1.0) * luminance
    rgb[..., 2] = (ycc[..., 2] + 1.0) * luminance
    rgb[..., 1] = (luminance - red_weight * rgb[..., 0] - blue_weight * rgb[..., 2]) / green_weight
    return rgb


def luminance_weights(chromaticities: Iterable[float] | None) -> tuple[float, float, float]:
    """How much red, green and blue of these primaries add to luminance; the three sum to 1."""
    points = np.asarray(tuple(chromaticities or REC709), dtype=np.float64).reshape(4, 2)
    xyz = np.column_stack([points[:, 0], points[:, 1], 1.0 - points.sum(axis=1)]) / points[:, 1:]
    weights = np.linalg.solve(xyz[:3].T, xyz[3])
    return float(weights[0]), float(weights[1]), float(weights[2])


def _module() -> Any:
    try:
        import OpenEXR
    except ImportError as error:
        raise Unsupported("luminance-chroma images need the Python package OpenEXR (pip install OpenEXR)") from error
    return OpenEXR


def _full_size(samples: npt.NDArray[np.float32], full: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Samples of every second row and column, from the first on, as one value a pixel."""
    for axis, size in enumerate(full):
        if samples.shape[axis] != size:
            along = np.moveaxis(samples, axis, 0)
            after = np.concatenate([along[1:], along[-1:]])
            between = 0.5 * (along + after)
            samples = np.moveaxis(np.stack([along, between], axis=1).reshape(-1, *along.shape[1:])[:size], 0, axis)
    return samples


def _window(box: tuple[Any, Any]) -> Window:
    (xmin, ymin), (xmax, ymax) = box
    try:
        return Window.from_exr(int(xmin), int(ymin), int(xmax), int(ymax))
    except ValueError as error:
        raise Unsupported(str(error)) from error


def _attributes(header: dict[str, Any]) -> dict[str, tuple[str, Any]]:
    found: dict[str, tuple[str, Any]] = {}
    for name, value in header.items():
        typed = _typed(name, value)
        if typed is not None:
            found[_SPELLED.get(name, name)] = typed
    return found


def _typed(name: str, value: Any) -> tuple[str, Any] | None:
    if isinstance(value, str):
        return "string", value
    if isinstance(value, int):
        return "int", value
    if isinstance(value, float):
        return "float", value
    if isinstance(value, Fraction):
        return "rational", (value.numerator, value.denominator)
    if name == "chromaticities":
        return "float[8]", tuple(float(number) for number in value)
    if name == "timeCode":
        return "timecode", (int(value.timeAndFlags()), int(value.userData))
    return None
