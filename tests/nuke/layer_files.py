"""Small finished layers on disk, as the engine writes them, from numbers alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import OpenImageIO as oiio

from tests.nuke.evaluator.image import Window
from vdp_engine.equations import layer_names, recompose

DATA, FORMAT = Window(-2, 3, 7, 9), Window(0, 0, 16, 12)
FRAMES = (1001, 1003)
GAMMA = 2.2


@dataclass(frozen=True)
class Written:
    """What lies in the files of one frame: half channels (H, W) as float32, and the plate they came from."""

    file: str
    channels: dict[str, np.ndarray]
    plate: np.ndarray


def write_layer_files(
    folder: Path, task: str = "layers", count: int = 2, straight: bool = False, name: str = "shot", rgb: bool = False
) -> dict[int, Written]:
    """Layers of a plate with negatives and highlights, data window beside the format; by frame.

    ``rgb``: of the task dehaze with a transmission for each colour.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return {frame: _frame(folder, task, count, straight, name, frame, rgb) for frame in range(FRAMES[0], FRAMES[1] + 1)}


def _frame(folder: Path, task: str, count: int, straight: bool, name: str, frame: int, rgb: bool) -> Written:
    rng = np.random.default_rng(frame)
    plate = _half(rng.normal(0.3, 1.0, (*DATA.shape, 3)) * 10.0 ** rng.uniform(-3, 2, DATA.shape)[..., None])
    controls: dict[str, float] = {}
    if task == "layers":
        made = _layers(rng, plate, count, straight)
        controls = {"straight": straight}
    elif task == "dehaze":
        made = _dehaze(rng, plate, rgb)
    else:
        made = _relight(rng, plate)
        controls = {"gamma": GAMMA}
    channels = {key: _half(values) for key, values in made.items()}
    without = recompose(task, {**channels, **_colour("residual", np.zeros_like(plate))}, **controls)
    channels |= {key: _half(values) for key, values in _colour("residual", plate - without).items()}
    channels["confidence.A"] = _half(rng.uniform(0, 1, DATA.shape))
    channels |= {c: plate[..., i] for i, c in enumerate("RGB")}
    _write(folder / f"{name}.{frame}.exr", channels)
    return Written(f"{folder}/{name}.####.exr", channels, plate)


def _layers(rng: np.random.Generator, plate: np.ndarray, count: int, straight: bool) -> dict[str, np.ndarray]:
    alphas = rng.dirichlet(np.ones(count), DATA.shape)
    channels = {"A": 1 - alphas[..., 0], **_colour("clean", rng.uniform(0, 2, plate.shape))}
    for index, layer in enumerate(layer_names(count)):
        alpha = _half(alphas[..., index])
        channels |= _colour(layer, plate if straight else plate * alpha[..., None])
        channels[f"{layer}.A"] = alpha
    return channels


def _dehaze(rng: np.random.Generator, plate: np.ndarray, rgb: bool) -> dict[str, np.ndarray]:
    airlight = _half(rng.uniform(0.4, 0.9, 3)) * np.ones_like(plate)
    through = _half(rng.uniform(0.1, 1, plate.shape if rgb else (*DATA.shape, 1)))
    clear = (plate - (1 - through) * airlight) / through
    mean = through.mean(-1)
    own = _colour("transmission", through) if rgb else {}
    return {**_colour("clear", clear), **_colour("airlight", airlight), **own, "transmission.A": mean, "A": mean}


def _relight(rng: np.random.Generator, plate: np.ndarray) -> dict[str, np.ndarray]:
    gain = _half(rng.uniform(0.5, 4, plate.shape))
    noise = _half(0.05 * np.abs(plate) * rng.uniform(-1, 1, plate.shape))
    quiet = plate - noise
    relit = gain * np.sign(quiet) * np.abs(quiet) ** GAMMA
    return {
        **_colour("relit", relit), **_colour("gain", gain), **_colour("noise", noise), "A": np.ones(DATA.shape),
    }  # fmt: skip


def _colour(layer: str, values: np.ndarray) -> dict[str, np.ndarray]:
    return {f"{layer}.{c}": values[..., i] for i, c in enumerate("RGB")}


def _half(values: np.ndarray) -> np.ndarray:
    return np.clip(values, -65504, 65504).astype(np.float16).astype(np.float32)


def _write(path: Path, channels: dict[str, np.ndarray]) -> None:
    spec = oiio.ImageSpec(DATA.right - DATA.left, DATA.bottom - DATA.top, len(channels), oiio.HALF)
    spec.channelnames = list(channels)
    spec.x, spec.y, spec.full_x, spec.full_y = DATA.left, DATA.top, FORMAT.left, FORMAT.top
    spec.full_width, spec.full_height = FORMAT.right, FORMAT.bottom
    output = oiio.ImageOutput.create(str(path))
    assert output is not None and output.open(str(path), spec)
    assert output.write_image(np.stack(list(channels.values()), axis=-1).astype(np.float16))
    output.close()
