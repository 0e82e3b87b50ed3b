"""Colour: into scene-linear light, out to a display, and the log encoding that the networks see.

Layers only add up in linear light, so everything past the reader is scene-linear. The OCIO config is named,
never the moving "default": ``$OCIO`` where a studio sets it, else one pinned built-in config.
"""

from __future__ import annotations

import difflib
import functools
import os
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import PyOpenColorIO as ocio

from vdp_engine.errors import PlateError, UsageError

PINNED_CONFIG = "ocio://studio-config-v5.0.0_aces-v2.1_ocio-v2.6"
_DISPLAY_ROWS = 64

# ACEScct, Academy S-2016-001, equations 4 and 5: a line up to the cut, a logarithm above.
_CUT_LINEAR = 0.0078125
_CUT_LOG = 0.155251141552511
_SLOPE = 10.5402377416545
_OFFSET = 0.0729055341958355
_STOPS = 17.52
_STOPS_BELOW_ONE = 9.72


def config_name() -> str:
    """What ``config()`` loads: the file or name in ``$OCIO``, else the pinned built-in config."""
    return os.environ.get("OCIO", "").strip() or PINNED_CONFIG


def config() -> ocio.Config:
    """The OCIO config in use.

    Raises:
        UsageError: ``usage.ocio``, the config named by ``$OCIO`` cannot be loaded.
    """
    return _load(config_name())


@functools.lru_cache(maxsize=4)
def _load(name: str) -> ocio.Config:
    try:
        return ocio.Config.CreateFromFile(name)
    except (ocio.Exception, ocio.ExceptionMissingFile) as error:
        raise UsageError(
            f"cannot load the OCIO config {name}: {str(error).splitlines()[0]}",
            code="ocio",
            remedy="correct the environment variable OCIO, or unset it to use the built-in config",
        ) from error


def check_colorspace(colorspace: str) -> None:
    """Raise unless the config knows this colour space, alias or role.

    Raises:
        PlateError: ``plate.colorspace``, with the closest names there are.
    """
    known = config()
    if known.getColorSpace(colorspace) is not None:
        return
    names = [name for space in known.getColorSpaces() for name in (space.getName(), *space.getAliases())]
    lowered = {name.lower(): name for name in names}
    wanted = colorspace.lower()
    close = [lowered[name] for name in difflib.get_close_matches(wanted, lowered, n=5, cutoff=0.4)]
    close += [name for low, name in lowered.items() if wanted in low and name not in close]
    remedy = f"did you mean {', '.join(close[:5])}?" if close else f"it knows {', '.join(names[:8])} …"
    raise PlateError(
        f"no colour space '{colorspace}' in the OCIO config {config_name()}", code="colorspace", remedy=remedy
    )


def is_linear(colorspace: str) -> bool:
    """Whether values of this space are scene-linear light in some primaries (data spaces count as linear)."""
    check_colorspace(colorspace)
    known = config()
    is_data = known.getColorSpace(colorspace).isData()
    return bool(is_data or known.isColorSpaceLinear(colorspace, ocio.REFERENCE_SPACE_SCENE))


def to_scene_linear(pixels: npt.NDArray[np.float32], colorspace: str) -> npt.NDArray[np.float32]:
    """Pixels of a named colour space as scene-linear light.

    A linear space comes back as it is, in its own primaries, so that a plate is not changed for nothing. Any
    other is converted by OCIO to the config's role ``scene_linear``. There is no way back to the input space on
    output, by intent: layers only add up in linear light.

    Args:
        pixels: ``(H, W, 3)`` float32, encoded as ``colorspace``; not changed.

    Raises:
        PlateError: ``plate.colorspace``, the config has no such space.
    """
    if is_linear(colorspace):
        return pixels
    converted = np.array(pixels, dtype=np.float32, order="C")
    processor = config().getProcessor(colorspace, ocio.ROLE_SCENE_LINEAR)
    processor.getDefaultCPUProcessor().applyRGB(converted)
    return converted


def to_display(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Scene-linear ``(H, W, 3)`` as 8-bit display code values, through the config's default display and view."""
    known = config()
    display = known.getDefaultDisplay()
    transform = ocio.DisplayViewTransform(
        src=ocio.ROLE_SCENE_LINEAR, display=display, view=known.getDefaultView(display, ocio.ROLE_SCENE_LINEAR)
    )
    processor = known.getProcessor(transform).getDefaultCPUProcessor()
    shown = np.empty(pixels.shape, dtype=np.uint8)
    for row in range(0, pixels.shape[0], _DISPLAY_ROWS):
        rows = slice(row, row + _DISPLAY_ROWS)
        block = np.array(pixels[rows], dtype=np.float32, order="C")
        processor.applyRGB(block)
        shown[rows] = (np.clip(np.nan_to_num(block), 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    return shown


def _namespace(values: Any) -> Any:
    # torch is looked up, not imported: it is loaded if its tensors are here, and slow to load if not.
    return sys.modules["torch"] if type(values).__module__.startswith("torch") else np


def log_encode(linear: Any) -> Any:
    """Scene-linear light as ACEScct code values, in whatever primaries it has.

    y = (log2 x + 9.72) / 17.52 above x = 0.0078125, a line of matching slope below, which goes on for negative
    values: finite and strictly rising over everything half can hold (0 -> 0.073, 0.18 -> 0.414, 65504 -> 1.468).

    Args:
        linear: numpy array or torch tensor of any shape, float32 or float64.

    Returns:
        The same kind of array. Differentiable; the gradient is finite everywhere.
    """
    xp = _namespace(linear)
    # The branch not taken must stay finite too: NaN times zero is NaN in a gradient.
    curve = (xp.log2(xp.clip(linear, _CUT_LINEAR, None)) + _STOPS_BELOW_ONE) / _STOPS
    return xp.where(linear > _CUT_LINEAR, curve, _SLOPE * linear + _OFFSET)


def log_decode(encoded: Any) -> Any:
    """ACEScct code values back to scene-linear light: the inverse of ``log_encode``.

    Args:
        encoded: numpy array or torch tensor of any shape, float32 or float64.

    Returns:
        The same kind of array. Differentiable; the gradient is finite everywhere.
    """
    xp = _namespace(encoded)
    curve = xp.exp2(_STOPS * xp.clip(encoded, _CUT_LOG, None) - _STOPS_BELOW_ONE)
    return xp.where(encoded > _CUT_LOG, curve, (encoded - _OFFSET) / _SLOPE)
