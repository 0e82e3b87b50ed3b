"""The task ``relight`` as the stage ``check`` sees it: its signs of trouble, its part of report and contact sheet.

Its numbers, each a mean over the pixels of a frame:

    lift      stops that the light was lifted by
    noise     |noise|, and
    light     |plate|, scene-linear
    black     share of the plate that holds no light: below 2⁻¹⁴ in all colours
    white     share of the plate at its own ceiling, where a camera clips: within 2 % of 1 in any colour
    red, green, blue   the plate's colours
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vdp_engine.check.layers_file import LayerFile
from vdp_engine.check.numbers import FrameNumbers
from vdp_engine.check.signs import SIGNS_OF_FILES, Sign, Signs, flicker, given, mean_of, unreliable_motion, worst_by
from vdp_engine.check.task import CheckTask, Show, grey, light
from vdp_engine.equations import Channels, colour
from vdp_engine.model.relight.objective import DARKEST, LUMINANCE
from vdp_engine.plate import to_display
from vdp_engine.settings import Settings

_CLIP = (0.98, 1.02)
_FOLLOWED = "gain.G"

# Beyond these the sign is given; docs/relight.md has what was seen on low-light pairs and darkened clips.
THRESHOLDS: Mapping[str, float] = {
    # Mean lift in stops: below it the plate's brightest surfaces are about white already.
    "relight.already_lit": 0.5,
    # Mean lift from which 8-bit sources show steps, and camera noise is most of the shadows.
    "relight.very_dark": 6.5,
    # Mean |noise| for mean |plate|.
    "relight.noise": 0.2,
    # Share of pixels without light, and at the ceiling of a clipped source.
    "relight.black": 0.05,
    "relight.clipped": 0.02,
    # Change of the gain along the motion from frame to frame, for its size.
    "relight.unsteady": 0.1,
    # The strongest of the plate's colours for the weakest: wood fills one picture at 2.3.
    "relight.cast": 3.0,
}


def lift(frames: Sequence[FrameNumbers]) -> float:
    """Mean lift of the shot, in stops."""
    return mean_of(frames, "lift")


def noise(frames: Sequence[FrameNumbers]) -> float:
    """Noise of the shot for its light."""
    return mean_of(frames, "noise") / max(mean_of(frames, "light"), 1e-9)


def cast(frames: Sequence[FrameNumbers]) -> float:
    """The strongest of the plate's colours for the weakest; 1 is neutral."""
    colours = [max(mean_of(frames, name), 1e-9) for name in ("red", "green", "blue")]
    return max(colours) / min(colours)


def unsteadiness(frames: Sequence[FrameNumbers]) -> float:
    """Change of the gain along the motion from frame to frame, for its size."""
    size = float(np.mean([one.layers.coverage[_FOLLOWED] for one in frames]))
    return flicker(frames) / max(size, 1e-6)


def _already_lit(frames: Sequence[FrameNumbers]) -> Sign | None:
    stops = lift(frames)
    if abs(stops) >= THRESHOLDS["relight.already_lit"]:
        return None
    return Sign(
        "relight.already_lit",
        f"the plate's brightest surfaces are at white already, and it was lifted by {stops:.1f} stops only: if it is "
        "too dark beside them, raise --key-fill, or --exposure; highlights are protected",
    )


def _very_dark(frames: Sequence[FrameNumbers]) -> Sign | None:
    stops = lift(frames)
    if stops <= THRESHOLDS["relight.very_dark"]:
        return None
    return Sign(
        "relight.very_dark",
        f"the plate was lifted by {stops:.1f} stops: steps of an 8-bit source and the camera's pattern show; "
        "work from the camera's raw file, or lower --exposure",
        worst_by(frames, "lift"),
    )


def _noisy(frames: Sequence[FrameNumbers]) -> Sign | None:
    share = noise(frames)
    if share <= THRESHOLDS["relight.noise"]:
        return None
    return Sign(
        "relight.noise",
        f"{100 * share:.0f}% of the plate's light is noise: fine texture may have gone into the noise layer, or noise "
        "been left in the picture; look at noise.R/G/B, and lower --key-fill where shadows swim",
        worst_by(frames, "noise"),
    )


def _black(frames: Sequence[FrameNumbers]) -> Sign | None:
    share = mean_of(frames, "black")
    if share <= THRESHOLDS["relight.black"]:
        return None
    return Sign(
        "relight.black",
        f"{100 * share:.0f}% of the plate holds no light at all, and nothing can be lifted there: was it crushed on "
        "the way here?",
        worst_by(frames, "black"),
    )


def _clipped(frames: Sequence[FrameNumbers]) -> Sign | None:
    share = mean_of(frames, "white")
    if share <= THRESHOLDS["relight.clipped"]:
        return None
    return Sign(
        "relight.clipped",
        f"{100 * share:.0f}% of the plate is clipped at white: what was brighter is lost, and the key was set by it; "
        "raise --exposure if the rest is too dark",
        worst_by(frames, "white"),
    )


def _unsteady(frames: Sequence[FrameNumbers]) -> Sign | None:
    changed = unsteadiness(frames)
    if changed <= THRESHOLDS["relight.unsteady"]:
        return None
    return Sign(
        "relight.unsteady",
        f"the gain changes by {100 * changed:.0f}% from frame to frame beyond the motion: lights that flicker, a cut, "
        "or flow that fails in the dark; try --flow raft or vectors, or a range without the cut",
        max(frames, key=lambda one: one.motion.flicker or 0.0).frame,
    )


def _cast(frames: Sequence[FrameNumbers]) -> Sign | None:
    ratio = cast(frames)
    if ratio <= THRESHOLDS["relight.cast"]:
        return None
    return Sign(
        "relight.cast",
        f"the plate's strongest colour is {ratio:.1f} times its weakest: colours are kept as they are, and a cast "
        "shows more when it is lit; balance the plate first if it is not meant",
    )


_SIGNS: Signs = (
    *SIGNS_OF_FILES, unreliable_motion, _already_lit, _very_dark, _noisy, _black, _clipped, _unsteady, _cast,
)  # fmt: skip


def _signs(frames: Sequence[FrameNumbers], settings: Settings) -> list[Sign]:
    # One frame has no flow that could agree with itself.
    return given(_SIGNS if len(frames) > 1 else tuple(s for s in _SIGNS if s is not unreliable_motion), frames)


def _controls(file: LayerFile, settings: Settings) -> dict[str, Any]:
    return {"gamma": file.gamma}


def _numbers(channels: Channels) -> dict[str, float]:
    plate, grain = colour(channels), colour(channels, "noise")
    before, after = _brightness(plate - grain), _brightness(colour(channels, "relit"))
    lit = before > 2 * DARKEST
    ceiling = (plate > _CLIP[0]) & (plate < _CLIP[1])
    numbers = {
        "lift": np.where(lit, np.log2(after / before), 0).mean(dtype=np.float64) / max(lit.mean(), 1e-6),
        "noise": np.abs(grain).mean(dtype=np.float64),
        "light": np.abs(plate).mean(dtype=np.float64),
        "black": (plate.max(-1) < DARKEST).mean(dtype=np.float64),
        "white": ceiling.any(-1).mean(dtype=np.float64),
    }
    numbers |= {name: plate[..., index].mean(dtype=np.float64) for index, name in enumerate(("red", "green", "blue"))}
    return {name: float(number) for name, number in numbers.items()}


def _summary(frames: Sequence[FrameNumbers]) -> dict[str, Any]:
    return {
        "lift": lift(frames),
        "noise": noise(frames),
        "black": mean_of(frames, "black"),
        "clipped": mean_of(frames, "white"),
        "cast": cast(frames),
        "unsteadiness": unsteadiness(frames),
    }


def _lines(report: Mapping[str, Any]) -> list[str]:
    numbers = report["relight"]
    return [
        f"light       lifted by {numbers['lift']:.2f} stops, {100 * numbers['noise']:.1f}% of it was noise",
        f"stability   the gain changes by {100 * numbers['unsteadiness']:.1f}% a frame along the motion",
    ]


def _brightness(light: np.ndarray) -> np.ndarray:
    """Luminance of (H, W, 3), at least ``DARKEST``."""
    return (light @ np.asarray(LUMINANCE, np.float32)).clip(DARKEST)


def _lifted(channels: Channels) -> np.ndarray:
    """How many times brighter the relit picture is."""
    return _brightness(colour(channels, "relit")) / _brightness(colour(channels))


def _stops_of_gain(channels: Channels) -> np.ndarray:
    """The lift of every pixel: black for none, white for 8 stops."""
    levels = (np.clip(np.log2(_lifted(channels)) / 8, 0, 1) * 255).round().astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=-1)


def _grain(channels: Channels) -> np.ndarray:
    """The noise as lit as the picture is, around mid-grey."""
    return to_display(np.ascontiguousarray(0.18 + colour(channels, "noise") * _lifted(channels)[..., None]))


def _pictures(names: Sequence[str], settings: Settings) -> dict[str, Show]:
    return {
        "plate": light(""), "relit": light("relit"), "lift, 0 to 8 stops": _stops_of_gain, "noise, lit": _grain,
        "confidence.A": grey("confidence.A"),
    }  # fmt: skip


TASK = CheckTask(
    has_foreground=False,
    followed=lambda name: name == _FOLLOWED,
    controls=_controls,
    numbers=_numbers,
    signs=_signs,
    summary=_summary,
    lines=_lines,
    pictures=_pictures,
)
