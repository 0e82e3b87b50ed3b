"""The two things the demo shot shows, painted once as flat textures: a town at dusk and a furry creature.

Everything is scene-linear float32 and drawn at ``OVERSAMPLING`` texels a pixel, so that resampling it under the
camera stays sharp.
"""

from __future__ import annotations

import cv2
import numpy as np

OVERSAMPLING = 2
SUN = 60.0  # far above 1, as the sun in a real plate is
_HORIZON = 0.66  # height of the street's far edge, as a fraction of the picture


def octave_noise(rng: np.random.Generator, height: int, width: int, coarsest: float, octaves: int) -> np.ndarray:
    """Fractal value noise, float32 (H, W), zero mean, about −1 to 1; ``coarsest`` is its largest grain in texels."""
    total = np.zeros((height, width), np.float32)
    weight, grain = 1.0, coarsest
    for _ in range(octaves):
        grid = rng.uniform(-1, 1, (int(height / grain) + 3, int(width / grain) + 3)).astype(np.float32)
        total += weight * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        weight, grain = weight * 0.55, max(grain / 2, 1.0)
    return total * 0.7


def paint_town(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A street at dusk, float32 (H, W, 3), scene-linear: sun and windows far above 1, doorways close to 0."""
    town = _sky(rng, height, width)
    street = int(_HORIZON * height)
    unit = height / 90  # one storey of the far row; all sizes follow the picture
    _row_of_houses(town, rng, street, unit, tall=(0.22, 0.42), haze=0.55, lit=0.25)
    _row_of_houses(town, rng, street + int(3 * unit), 1.7 * unit, tall=(0.12, 0.34), haze=0.0, lit=0.35)
    _street(town, rng, street + int(3 * unit))
    return town


def _sky(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    x = np.linspace(0, 1, width, dtype=np.float32)[None, :, None]
    high, low = _rgb(0.06, 0.11, 0.26), _rgb(1.1, 0.52, 0.22)
    glow = np.clip(y / _HORIZON, 0, 1) ** 2.2
    sky = high * (1 - glow) + low * glow + np.zeros_like(x)
    # Clouds lie flat: noise drawn narrow, then stretched sideways.
    clouds = octave_noise(rng, height, width // 3, height / 6, 6)
    clouds = cv2.resize(clouds, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    shade = np.clip(1.1 * clouds + 0.15, -0.6, 1.0)
    sky *= 1 + 0.75 * shade
    sky += np.clip(shade, 0, 1) ** 2 * glow * _rgb(0.9, 0.34, 0.22)
    aspect = width / height
    distance = np.hypot((x - 0.60) * aspect, y - 0.19)
    sky += _rgb(1.0, 0.55, 0.25) * (0.8 * np.exp(-distance / 0.08))
    sun = np.clip((0.028 - distance) / 0.004, 0, 1)
    return (sky * (1 - sun) + sun * _rgb(SUN, 0.75 * SUN, 0.45 * SUN)).astype(np.float32)


def _row_of_houses(
    town: np.ndarray, rng: np.random.Generator, base: int, unit: float, *,
    tall: tuple[float, float], haze: float, lit: float,
) -> None:  # fmt: skip
    height, width = town.shape[:2]
    fog = _rgb(0.55, 0.30, 0.22)
    left = -int(rng.uniform(0, 6 * unit))
    while left < width:
        right = left + int(rng.uniform(8, 15) * unit)
        top = base - int(rng.uniform(*tall) * height)
        wall = _rgb(0.13, 0.085, 0.07) * rng.uniform(0.35, 1.6) * (1 + 0.35 * rng.uniform(-1, 1, 3))
        box = slice(max(top, 0), base), slice(max(left, 0), min(right, width))
        shape = town[box].shape
        if shape[1] > 0:
            plaster = octave_noise(rng, shape[0], shape[1], 4 * unit, 5)[..., None]
            courses = ((np.arange(shape[0]) // max(int(unit / 2), 2)) % 2)[:, None, None]
            facade = wall * (1 + 0.55 * plaster) * (0.82 + 0.18 * courses)
            town[box] = (1 - haze) * np.maximum(facade, 0) + haze * fog
            _windows(town[box], rng, unit, haze, lit)
            # A parapet against the sky: a hard edge in every house.
            town[box][: max(int(0.5 * unit), 2)] *= 0.45
        left = right + int(rng.choice([0, 0, 2.5 * unit]))


def _windows(facade: np.ndarray, rng: np.random.Generator, unit: float, haze: float, lit: float) -> None:
    height, width = facade.shape[:2]
    step_y, step_x = int(3.0 * unit), int(2.2 * unit)
    for top in range(int(1.6 * unit), height - int(1.6 * unit), step_y):
        for left in range(int(0.8 * unit), width - int(1.2 * unit), step_x):
            pane = facade[top : top + int(1.7 * unit), left : left + int(1.1 * unit)]
            if rng.random() < lit:
                lamp = _rgb(1.0, 0.62, 0.24) * rng.choice([0.7, 1.5, 3.0, 14.0], p=[0.45, 0.35, 0.15, 0.05])
                pane[:] = (1 - haze) * lamp + haze * pane
                pane[:, pane.shape[1] // 2] *= 0.35  # the mullion
            else:
                pane[:] = (1 - haze) * _rgb(0.0008, 0.001, 0.0016) + haze * pane


def _street(town: np.ndarray, rng: np.random.Generator, top: int) -> None:
    height, width = town.shape[:2]
    below = height - top
    rows = np.arange(below, dtype=np.float32)[:, None]
    depth = below / (rows + 0.12 * below)  # perspective: stones shrink towards the houses
    across = (np.arange(width, dtype=np.float32)[None] - width / 2) * depth * (9.0 / below)
    along = 26.0 * np.log(depth) + np.zeros_like(across)
    offset = np.where(np.floor(along) % 2 == 0, 0.0, 0.5)
    stone_x, stone_y = np.floor(across + offset), np.floor(along)
    tint = np.mod(np.sin(stone_x * 12.9898 + stone_y * 78.233) * 43758.5453, 1.0)
    edge_x, edge_y = np.mod(across + offset, 1.0), np.mod(along, 1.0)
    joint = (np.minimum(edge_x, 1 - edge_x) < 0.06) | (np.minimum(edge_y, 1 - edge_y) < 0.10)
    grain = octave_noise(rng, below, width, below / 5, 6)
    light = (0.05 + 0.16 * tint) * (1 + 0.5 * grain) * np.where(joint, 0.03, 1.0)
    mirrored = cv2.GaussianBlur(town[top - below : top][::-1], (0, 0), below / 40)
    wet = np.clip(0.25 + 0.9 * octave_noise(rng, below, width, below / 2, 3), 0, 0.7)[..., None]
    stones = light[..., None] * _rgb(1.0, 0.82, 0.74)
    town[top:] = np.maximum(stones, 0) * (1 - 0.5 * wet) + 0.35 * wet * np.minimum(mirrored, 6.0)


def paint_creature(rng: np.random.Generator, size: int) -> np.ndarray:
    """A furry ball with two eyes, float32 (size, size, 4): premultiplied scene-linear colour and opacity.

    Its body has radius 0.36 ``size``; hairs of many lengths reach out to 0.46 ``size``.
    """
    grid = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    x, y = (np.asarray(axis, np.float32) for axis in np.meshgrid(grid, grid))
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    # Fur: noise in polar coordinates, fine around the ball and long along the radius, combed by a twist.
    strands, lengths = 220, 7
    coat = rng.uniform(-1, 1, (lengths, strands)).astype(np.float32)
    coat = np.concatenate([coat, coat[:, :1]], axis=1)
    turn = np.mod((angle + 1.6 * radius * np.sin(3 * angle)) / (2 * np.pi), 1.0) * strands
    fur = cv2.remap(coat, turn.astype(np.float32), (radius * 2 * (lengths - 1)).astype(np.float32), cv2.INTER_LINEAR)
    tips = cv2.remap(coat, turn.astype(np.float32), np.full_like(turn, lengths - 1, np.float32), cv2.INTER_LINEAR)
    reach = 0.36 + 0.06 * np.clip(tips + 0.35, 0, 1.4)
    alpha = np.clip((reach - radius) / (0.012 + 0.35 * np.clip(radius - 0.36, 0, None)), 0, 1)
    alpha = cv2.GaussianBlur(alpha, (0, 0), size / 200)
    patches = octave_noise(rng, size, size, size / 5, 4)
    stripe = np.clip(3 * np.sin(26 * y + 5 * x + 1.5 * patches) + 0.5, 0, 1)[..., None]
    colour = _rgb(0.95, 0.30, 0.05) * (1 - stripe) + _rgb(0.10, 0.32, 0.42) * stripe
    light = 0.22 + 0.95 * np.clip(0.55 * (0.5 - y) + 0.7 * x + 0.55 * np.sqrt(np.clip(0.16 - radius**2, 0, 1)), 0, 1)
    rim = 1 + 10 * np.clip(radius - 0.33, 0, 1)
    colour = colour * (light * (1 + 0.35 * fur + 0.35 * patches) * rim)[..., None]
    colour = np.maximum(colour, 0.004)
    for centre in (-0.105, 0.125):
        _eye(colour, x - centre, y + 0.07)
    return np.dstack([colour * alpha[..., None], alpha]).astype(np.float32)


def _eye(colour: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    def disk(cx: float, cy: float, radius: float) -> np.ndarray:
        return np.clip((radius - np.hypot(x - cx, y - cy)) / 0.008, 0, 1)[..., None]

    for cover, shade in (
        (disk(0, 0, 0.092), [0.75, 0.72, 0.66]),
        (disk(0.022, 0.006, 0.050), [0.05, 0.16, 0.03]),
        (disk(0.026, 0.008, 0.028), [0.0015, 0.0015, 0.0015]),
        (disk(0.040, -0.016, 0.014), [16.0, 13.0, 9.0]),
    ):
        colour[:] = colour * (1 - cover) + _rgb(*shade) * cover


def _rgb(red: float, green: float, blue: float) -> np.ndarray:
    return np.array([red, green, blue], np.float32)
