"""Procedural surfaces and outlines for generated scenes: two families of each that share nothing but the palette.

A texture is float32 (h, w, 3), scene-linear reflectance, mostly 0.02 to 0.9. A shape is an opacity, float32 (h, w),
0 to 1, of a square. The training family and the held-out family are different
programs, so that a score on the second says something about surfaces never seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Size = tuple[int, int]
Texture = Callable[[np.random.Generator, Size], Array]
Shape = Callable[[np.random.Generator, int], Array]

_SHARPER = 4  # bits of sub-pixel position in what OpenCV draws


def octave_noise(rng: np.random.Generator, size: Size, grain: float, octaves: int, fall: float) -> Array:
    """Fractal value noise, float32 ``size``, about -1 to 1; ``grain`` is its coarsest grain in pixels."""
    height, width = size
    total = np.zeros(size, np.float32)
    weight, sum_of_squares = 1.0, 0.0
    for _ in range(octaves):
        cells = max(1.0, grain)
        grid = rng.uniform(-1, 1, (int(height / cells) + 3, int(width / cells) + 3)).astype(np.float32)
        total += weight * cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
        sum_of_squares += weight**2
        weight, grain = weight * fall, grain / 2
        if grain < 1.0:
            break
    return total * np.float32(1.2 / math.sqrt(sum_of_squares))


def palette(rng: np.random.Generator, count: int) -> Array:
    """(count, 3) colours that lie near one another in hue more often than not, bright and dark."""
    base = rng.uniform(0.3, 1.0, 3)
    spread = rng.uniform(0.05, 0.8)
    light = np.exp(rng.uniform(math.log(0.03), math.log(0.9), (count, 1)))
    tint = np.clip(base + spread * rng.uniform(-1, 1, (count, 3)), 0.05, None)
    return (light * tint / tint.max(1, keepdims=True)).astype(np.float32)


def _ramp(value: NDArray[np.floating], colours: Array) -> Array:
    """Colours along 0..1, (h, w, 3)."""
    steps = np.linspace(0, 1, len(colours), dtype=np.float32)
    table = np.stack([np.interp(np.linspace(0, 1, 256), steps, colours[:, one]) for one in range(3)], -1)
    return table.astype(np.float32)[np.clip(value * 255, 0, 255).astype(np.uint8)]


def _grid(size: Size) -> tuple[Array, Array]:
    return (
        np.arange(size[1], dtype=np.float32)[None, :] - size[1] / 2,
        np.arange(size[0], dtype=np.float32)[:, None] - size[0] / 2,
    )


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(math.log(low), math.log(high))))


# Training textures


def cloth(rng: np.random.Generator, size: Size) -> Array:
    """Octaves of noise through a ramp of colours: rock, earth, cloth, clouds."""
    noise = octave_noise(rng, size, _log_uniform(rng, 6, 120), int(rng.integers(2, 7)), rng.uniform(0.4, 0.85))
    return _ramp(0.5 + noise * rng.uniform(0.25, 0.6), palette(rng, int(rng.integers(2, 5))))


def leaves(rng: np.random.Generator, size: Size) -> Array:
    """Dead leaves: ellipses of all sizes cover one another, which gives the edges and the spectrum of photographs."""
    colours = palette(rng, 24)
    picture = np.empty((*size, 3), np.float32)
    picture[:] = colours[0]
    count = int(rng.integers(80, 300))
    smallest, largest = rng.uniform(1.5, 6), rng.uniform(15, 70)
    share = rng.uniform(0, 1, count)
    radii = np.sort(1 / (1 / smallest + share * (1 / largest - 1 / smallest)))[::-1]
    places = rng.uniform(0, 1, (count, 2)) * (size[1], size[0])
    shape = rng.uniform(0.3, 1.0, count)
    angles = rng.uniform(0, 180, count)
    for index in range(count):
        centre, axes = (places[index] * 16).astype(int), (radii[index] * 16 * np.array([1, shape[index]])).astype(int)
        colour = colours[int(rng.integers(24))] * rng.uniform(0.7, 1.3)
        cv2.ellipse(
            picture, centre.tolist(), axes.tolist(), float(angles[index]), 0, 360, colour.tolist(), -1,
            cv2.LINE_8, _SHARPER,
        )  # fmt: skip
    return picture * (1 + 0.15 * rng.uniform(0, 1) * octave_noise(rng, size, 8, 4, 0.8))[..., None]


def pattern(rng: np.random.Generator, size: Size) -> Array:
    """Stripes, checks or dots, turned and bent a little: what repeats and misleads."""
    x, y = _grid(size)
    angle, period = rng.uniform(0, math.pi), _log_uniform(rng, 5, 50)
    bend = octave_noise(rng, size, 60, 2, 0.5) * rng.uniform(0, 0.5) * period
    along = (math.cos(angle) * x + math.sin(angle) * y + bend) * np.float32(2 * math.pi / period)
    across = (math.cos(angle) * y - math.sin(angle) * x + bend) * np.float32(2 * math.pi / period)
    kind = rng.integers(3)
    wave = np.sin(along) if kind == 0 else np.sin(along) * np.sin(across)
    if kind == 2:
        wave = np.sin(along) + np.sin(across) - 0.6
    value = 0.5 + 0.5 * np.tanh(wave * _log_uniform(rng, 0.8, 8))
    wear = octave_noise(rng, size, 30, 4, 0.7) * rng.uniform(0, 0.25)
    return _ramp(value * 0.8 + 0.1 + wear, palette(rng, int(rng.integers(2, 4))))


def plain(rng: np.random.Generator, size: Size) -> Array:
    """A gradient with next to nothing on it: sky, walls, car bodies."""
    x, y = _grid(size)
    angle = rng.uniform(0, 2 * math.pi)
    value = 0.5 + (math.cos(angle) * x + math.sin(angle) * y) / np.float32(max(size)) * rng.uniform(0.2, 1.2)
    value = value + octave_noise(rng, size, 80, 5, 0.6) * rng.uniform(0.0, 0.06)
    return _ramp(value, palette(rng, 2))


def strokes(rng: np.random.Generator, size: Size) -> Array:
    """Thin lines along a slowly turning direction: hair, grass, foliage."""
    ground = cloth(rng, size) * rng.uniform(0.3, 0.9)
    colours = palette(rng, 12)
    count = int(rng.integers(200, 700))
    turn = octave_noise(rng, (8, 8), 4, 2, 0.5) * rng.uniform(0.1, 1.6) + rng.uniform(0, math.pi)
    length, thick = _log_uniform(rng, 5, 40), int(rng.integers(1, 3))
    starts = rng.uniform(0, 1, (count, 2))
    cells = (starts * 7.99).astype(int)
    angles = turn[cells[:, 1], cells[:, 0]] + rng.normal(0, 0.15, count)
    begins = starts * (size[1], size[0])
    ends = begins + np.stack([np.cos(angles), np.sin(angles)], -1) * (length * rng.uniform(0.4, 1.6, (count, 1)))
    for begin, end, colour in zip(
        (begins * 16).astype(int), (ends * 16).astype(int), colours[rng.integers(0, 12, count)], strict=True
    ):
        cv2.line(ground, begin.tolist(), end.tolist(), colour.tolist(), thick, cv2.LINE_8, _SHARPER)
    return ground


def smoke(rng: np.random.Generator, size: Size) -> Array:
    """Noise drawn along noise, soft: smoke, water, spray."""
    x, y = _grid(size)
    noise = octave_noise(rng, size, _log_uniform(rng, 15, 60), 4, 0.6)
    reach = rng.uniform(8, 40)
    shift = [octave_noise(rng, size, 70, 3, 0.5) * reach for _ in range(2)]
    bent = cv2.remap(
        noise, x + size[1] / 2 + shift[0], y + size[0] / 2 + shift[1], cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )  # fmt: skip
    return _ramp(0.5 + bent * rng.uniform(0.1, 0.5), palette(rng, int(rng.integers(2, 4))))


def mixed(rng: np.random.Generator, size: Size) -> Array:
    """Two of the others side by side with an irregular border."""
    first, second = (TRAINING_TEXTURES[int(rng.integers(6))](rng, size) for _ in range(2))
    share = np.clip(0.5 + octave_noise(rng, size, 120, 4, 0.6) * rng.uniform(2, 12), 0, 1)[..., None]
    return first * share + second * (1 - share)


TRAINING_TEXTURES: tuple[Texture, ...] = (leaves, cloth, strokes, pattern, smoke, plain, mixed)


# Held-out textures


def _spectrum(rng: np.random.Generator, size: Size, power: float) -> Array:
    """A field of random phases whose amplitude falls with frequency to ``-power``; unit variance."""
    fy, fx = np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None, :]
    radius = np.hypot(fy, fx)
    radius[0, 0] = 1.0
    turned = np.exp(2j * np.pi * rng.uniform(0, 1, radius.shape)) * radius**-power
    turned[0, 0] = 0
    field = np.fft.irfft2(turned, size)
    return (field / field.std()).astype(np.float32)


def cells(rng: np.random.Generator, size: Size) -> Array:
    """A Voronoi mosaic with seams: giraffe, cracked mud, leaded glass."""
    seeds = np.full(size, 255, np.uint8)
    count = int(rng.integers(40, 500))
    seeds[rng.integers(0, size[0], count), rng.integers(0, size[1], count)] = 0
    distance, label = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    picture = palette(rng, 32)[label % 32]
    return picture * (1 - rng.uniform(0.1, 0.8) * np.clip(distance / distance.max(), 0, 1))[..., None]


def photograph(rng: np.random.Generator, size: Size) -> Array:
    """Random phases under the spectrum of photographs."""
    return _ramp(0.5 + 0.2 * _spectrum(rng, size, rng.uniform(1.0, 1.8)), palette(rng, 4))


def contours(rng: np.random.Generator, size: Size) -> Array:
    """The same in flat steps: camouflage, maps, painted cars."""
    steps = int(rng.integers(3, 9))
    level = np.floor(_spectrum(rng, size, rng.uniform(1.4, 2.2)) * steps / 4).astype(int)
    return palette(rng, 16)[level % 16]


def marble(rng: np.random.Generator, size: Size) -> Array:
    """Veins: a wave bent by a field of random phases."""
    x, y = _grid(size)
    period, angle = _log_uniform(rng, 12, 80), rng.uniform(0, math.pi)
    phase = (math.cos(angle) * x + math.sin(angle) * y) / period + rng.uniform(0.3, 1.2) * _spectrum(rng, size, 1.7)
    return _ramp(np.abs(np.sin(np.pi * phase)) ** rng.uniform(0.4, 2), palette(rng, 3))


def masonry(rng: np.random.Generator, size: Size) -> Array:
    """Bricks of many shades in joints."""
    x, y = _grid(size)
    high = _log_uniform(rng, 6, 30)
    wide, joint = high * rng.uniform(1.2, 3), rng.uniform(0.6, 2.5)
    row = np.floor(y / high).astype(int)
    column = np.floor((x + (row % 2) * wide / 2) / wide).astype(int)
    shade = palette(rng, 64)[(row * 31 + column * 17) % 64]
    mortar = ((y - row * high) < joint) | ((x + (row % 2) * wide / 2 - column * wide) < joint)
    return np.where(mortar[..., None], palette(rng, 1)[0], shade) * np.exp(0.08 * _spectrum(rng, size, 0.8))[..., None]


def print_(rng: np.random.Generator, size: Size) -> Array:
    """Lines of letters: signs, livery, bills."""
    ink = np.zeros(size, np.uint8)
    big = rng.uniform(0.4, 1.6)
    for row in range(int(16 * big), size[0] + 30, int(26 * big) + 2):
        word = "".join(chr(code) for code in rng.integers(33, 126, int(size[1] / (10 * big)) + 2))
        cv2.putText(ink, word, (-5, row), int(rng.integers(4)), big, int(rng.integers(1, 4)), 1 + int(big), cv2.LINE_8)
    return palette(rng, 4)[np.minimum(ink, 3)]


HELD_OUT_TEXTURES: tuple[Texture, ...] = (photograph, contours, cells, marble, masonry, print_)


# Training shapes


def blob(rng: np.random.Generator, side: int) -> Array:
    """A rounded body, its radius a sum of waves."""
    angle = np.linspace(0, 2 * math.pi, 72, endpoint=False)
    radius = np.ones(72)
    for wave in range(2, 8):
        radius += rng.normal(0, 0.35 / wave) * np.cos(wave * angle + rng.uniform(0, 7))
    radius = np.clip(radius, 0.25, None) * 0.44 * side / radius.max()
    squash = rng.uniform(0.4, 1.0)
    return _filled(np.stack([radius * np.cos(angle), squash * radius * np.sin(angle)], -1), side)


def limb(rng: np.random.Generator, side: int) -> Array:
    """A capsule: arms, legs, poles."""
    picture = np.zeros((side, side), np.float32)
    reach, thick = 0.36 * side, max(1, int(side * rng.uniform(0.03, 0.16)))
    begin, end = (_fixed(side / 2 + way, side / 2) for way in (-reach, reach))
    cv2.line(picture, begin, end, 1.0, thick, cv2.LINE_8, _SHARPER)
    return picture


def twigs(rng: np.random.Generator, side: int) -> Array:
    """Thin lines that cross: branches, wires, spokes."""
    picture = np.zeros((side, side), np.float32)
    for _ in range(int(rng.integers(3, 14))):
        points = rng.uniform(0.06, 0.94, (3, 2)) * side
        bend = np.linspace(0, 1, 12)[:, None]
        curve = (1 - bend) ** 2 * points[0] + 2 * bend * (1 - bend) * points[1] + bend**2 * points[2]
        thick = int(rng.integers(1, 4))
        cv2.polylines(picture, [(curve * 16).astype(np.int32)], False, 1.0, thick, cv2.LINE_8, _SHARPER)
    return picture


def ring(rng: np.random.Generator, side: int) -> Array:
    """A body with a hole."""
    inner = np.zeros((side, side), np.float32)
    cv2.circle(inner, (side // 2, side // 2), int(side * rng.uniform(0.12, 0.3)), 1.0, -1)
    return np.clip(blob(rng, side) - inner, 0, 1)


def furry(rng: np.random.Generator, side: int) -> Array:
    """A body with hair, the hair half transparent."""
    picture = cv2.resize(blob(rng, side), None, fx=0.8, fy=0.8)
    edge = (side - len(picture)) // 2
    picture = cv2.copyMakeBorder(picture, edge, side - len(picture) - edge, edge, side - len(picture) - edge, 0)
    rows, columns = np.nonzero(cv2.morphologyEx((picture > 0.5).astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3))))
    hairs = np.zeros_like(picture)
    for index in rng.integers(0, max(len(rows), 1), 150) if len(rows) else ():
        out = np.array([columns[index], rows[index]]) - side / 2
        end = side / 2 + out * rng.uniform(1.02, 1.22) + rng.normal(0, 2, 2)
        cv2.line(hairs, (int(columns[index]), int(rows[index])), _whole(end), 1.0, 1)
    return np.maximum(picture, cv2.GaussianBlur(hairs, (0, 0), 0.6) * np.float32(1.2)).clip(0, 1)


TRAINING_SHAPES: tuple[Shape, ...] = (blob, blob, furry, limb, ring, twigs)


# Held-out shapes


def polygon(rng: np.random.Generator, side: int) -> Array:
    """Straight edges and corners, not always convex."""
    count = int(rng.integers(3, 11))
    angle = np.sort(rng.uniform(0, 2 * math.pi, count))
    radius = rng.uniform(0.35, 1.0, count) * 0.46 * side
    return _filled(np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1), side)


def rounded_box(rng: np.random.Generator, side: int) -> Array:
    """A superellipse, soft at the edge."""
    x, y = _grid((side, side))
    power, wide, high = rng.uniform(1.5, 6), *(rng.uniform(0.2, 0.44, 2) * side)
    inside = 1 - (np.abs(x / wide) ** power + np.abs(y / high) ** power)
    return np.clip(inside * _log_uniform(rng, 1.5, 20), 0, 1).astype(np.float32)


def fence(rng: np.random.Generator, side: int) -> Array:
    """Bars with gaps in between: railings, nets."""
    x, y = _grid((side, side))
    period, share = rng.uniform(0.08, 0.3) * side, rng.uniform(0.15, 0.5)
    bars = ((x / period) % 1 < share) | ((np.abs(y) % (0.3 * side)) < 2)
    return (bars & (np.abs(x) < 0.44 * side) & (np.abs(y) < 0.44 * side)).astype(np.float32)


def tree(rng: np.random.Generator, side: int) -> Array:
    """A stem that parts again and again."""
    picture = np.zeros((side, side), np.float32)
    tips = [(np.array([side / 2, side * 0.92]), -math.pi / 2, side * 0.26, max(2.0, side * 0.05))]
    while tips:
        start, angle, length, thick = tips.pop()
        end = start + length * np.array([math.cos(angle), math.sin(angle)])
        cv2.line(picture, _whole(start), _whole(np.clip(end, 2, side - 3)), 1.0, max(1, round(thick)))
        if length > side * 0.06:
            turns = rng.uniform(0.25, 0.7, 2) * (-1, 1)
            tips += [(end, angle + turn, length * rng.uniform(0.6, 0.8), thick * 0.65) for turn in turns]
    return picture


HELD_OUT_SHAPES: tuple[Shape, ...] = (polygon, polygon, rounded_box, fence, tree)


def _filled(points: NDArray[np.float64], side: int) -> Array:
    picture = np.zeros((side, side), np.uint8)
    cv2.fillPoly(picture, [((points + side / 2) * 16).astype(np.int32)], 255, cv2.LINE_AA, _SHARPER)
    return picture.astype(np.float32) / np.float32(255)


def _fixed(x: float, y: float) -> tuple[int, int]:
    return int(x * 16), int(y * 16)


def _whole(point: NDArray[np.float64]) -> tuple[int, int]:
    return int(point[0]), int(point[1])
