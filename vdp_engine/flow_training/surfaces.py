"""One surface of a generated scene: a picture, and the maps by which both frames look it up.

Frame 0 looks it up at ``u0(p)``, a projective map, and frame 1 at ``u1(p) + d(u1(p))`` with ``u1 = u0 o M^-1``, ``M``
the projective map that carries the layer from frame to frame and ``d`` an elastic bend of it. What lies at p in frame
0 therefore lies at ``M u0^-1 y`` in frame 1, where ``y + d(y) = u0(p)``, and what lies at q in frame 1 came from
``u0^-1(u1(q) + d(u1(q)))``: flow both ways follows from the maps, to the last digit but for the solution of one fixed-
point equation, and never from the pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from vdp_engine.flow_training.textures import Array, Size

Matrix = NDArray[np.floating]
Points = NDArray[np.float64]

_FIXED_POINT_STEPS = 10

LARGEST_BEND = 0.35
"""Slope of an elastic bend: below 1, so that it never folds and the iteration converges."""


@dataclass
class Layer:
    """One surface: premultiplied colour and opacity (h, w, 4), and its maps; points are x, y."""

    surface: Array
    u0: Matrix
    motion: Matrix
    bend: Bend | None = None
    reflect: bool = False
    blur: float = 0.0
    streak: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))

    def __post_init__(self) -> None:
        self.u1: Matrix = self.u0 @ np.linalg.inv(self.motion)

    def render(self, frame: int, size: Size) -> Array:
        """(h, w, 4), premultiplied, through the lens and the shutter."""
        border = cv2.BORDER_REFLECT_101 if self.reflect else cv2.BORDER_CONSTANT
        if frame == 1 and self.bend is not None:
            x, y = _apply(self.u1, *pixels(size))
            dx, dy = self.bend(x, y)
            picture = cv2.remap(
                self.surface, (x + dx).astype(np.float32), (y + dy).astype(np.float32), cv2.INTER_LINEAR,
                borderMode=border,
            )  # fmt: skip
        else:
            picture = cv2.warpPerspective(
                self.surface, self.u1 if frame else self.u0, size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=border,
            )  # fmt: skip
        if self.blur > 0.3:
            picture = cv2.GaussianBlur(picture, (0, 0), self.blur)
        if np.hypot(*self.streak) > 1.0:
            picture = cv2.filter2D(picture, -1, _line(self.streak), borderType=cv2.BORDER_REPLICATE)
        return np.asarray(picture, np.float32)

    def forward(self, x: Points, y: Points) -> tuple[Points, Points]:
        """Where the surface at points of frame 0 lies in frame 1."""
        if self.bend is None:
            return _apply(self.motion, x, y)
        u, v = _apply(self.u0, x, y)
        a, b = u, v
        for _ in range(_FIXED_POINT_STEPS):
            da, db = self.bend(a, b)
            a, b = u - da, v - db
        return _apply(np.linalg.inv(self.u1), a, b)

    def backward(self, x: Points, y: Points) -> tuple[Points, Points]:
        """Where the surface at points of frame 1 lay in frame 0."""
        if self.bend is None:
            return _apply(np.linalg.inv(self.motion), x, y)
        a, b = _apply(self.u1, x, y)
        da, db = self.bend(a, b)
        return _apply(np.linalg.inv(self.u0), a + da, b + db)


@dataclass(frozen=True)
class Bend:
    """A wave across a layer, in its own pixels: points shift by ``amount`` (2,) times its height."""

    amount: NDArray[np.float64]
    wave: NDArray[np.float64]
    phase: float

    def __call__(self, x: Points, y: Points) -> tuple[Points, Points]:
        height = np.sin(self.wave[0] * x + self.wave[1] * y + self.phase)
        return self.amount[0] * height, self.amount[1] * height


def placed(here: NDArray[np.float64], there: NDArray[np.float64], scale: float, angle: float) -> Matrix:
    """The map that turns and scales, and carries ``here`` to ``there``."""
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    turn = np.array([[cosine, sine], [-sine, cosine]])
    return np.vstack([np.column_stack([turn, there - turn @ here]), [0, 0, 1]])


def about(middle: NDArray[np.float64], angle: float, scale: float, shear: float, shift: NDArray[np.float64]) -> Matrix:
    """Turn, scale and shear about ``middle``, then shift."""
    turn = placed(middle, middle, scale, angle)
    turn[0, 1] += shear
    turn[:2, 2] = middle - turn[:2, :2] @ middle + shift
    return turn


def tilted(turn: Matrix, tilt: NDArray[np.float64], middle: NDArray[np.float64], size: Size) -> Matrix:
    """``turn`` followed by a perspective: pixels at the edge of the picture are off by ``tilt`` of its size."""
    perspective = np.eye(3)
    perspective[2, :2] = tilt / max(size)
    to_middle = np.eye(3)
    to_middle[:2, 2] = middle
    return to_middle @ perspective @ np.linalg.inv(to_middle) @ turn


def _apply(matrix: Matrix, x: Points, y: Points) -> tuple[Points, Points]:
    depth = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
    return (
        (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]) / depth,
        (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]) / depth,
    )


def pixels(size: Size) -> tuple[Points, Points]:
    """x and y of all pixels, each (h, w)."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    return x, y


def _line(streak: NDArray[np.float64]) -> Array:
    """A kernel that smears along ``streak``, symmetric about its middle."""
    half = np.abs(streak) / 2
    radius = math.ceil(float(half.max())) + 1
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1), np.float32)
    for share in np.linspace(-0.5, 0.5, 4 * radius + 1):
        x, y = radius + share * streak
        left, top = int(x), int(y)
        across, down = x - left, y - top
        kernel[top : top + 2, left : left + 2] += np.outer([1 - down, down], [1 - across, across])
    return np.asarray(kernel / kernel.sum(), np.float32)
