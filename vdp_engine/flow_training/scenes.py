"""Pairs of pictures whose optical flow is known: layers of texture under smooth maps, in front of one another.

Each layer is a picture that both frames look up: frame 0 at ``u0(p)``, a projective map, and frame 1 at
``u1(p) + d(u1(p))`` with ``u1 = u0 o M^-1``, ``M`` the projective map that carries the layer from frame to frame and
``d`` an elastic bend of it. What lies at p in frame 0 therefore lies at ``M u0^-1 y`` in frame 1, where
``y + d(y) = u0(p)``, and what lies at q in frame 1 came from ``u0^-1(u1(q) + d(u1(q)))``: flow both ways follows from
the maps, to the last digit but for the solution of one fixed-point equation, and never from the pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from vdp_engine.flow_training import textures
from vdp_engine.flow_training.textures import Array, Shape, Size, Texture
from vdp_engine.motion.proxy import DARKEST
from vdp_engine.plate import log_encode

Matrix = NDArray[np.float64]
Points = NDArray[np.float64]
Random = np.random.Generator

_OPAQUE = 0.5  # a pixel belongs to the front layer that covers at least so much of it
_FIXED_POINT_STEPS = 10
_LARGEST_BEND = 0.35  # slope of an elastic bend: below 1, so that it never folds and the iteration converges


@dataclass(frozen=True)
class Pair:
    """Two frames and what is known of their motion.

    Attributes:
        first, second: float32 (h, w, 3), log-encoded as the engine sees a plate.
        forward: float32 (2, h, w), from each pixel of ``first`` to where its surface lies in ``second``, in pixels,
            x to the right and y down.
        backward: float32 (2, h, w), from ``second`` to ``first``.
        seen, seen_before: bool (h, w), the surface at a pixel of ``first`` (of ``second``) is seen in the other
            frame, too: not covered, not outside.
    """

    first: Array
    second: Array
    forward: Array
    backward: Array
    seen: NDArray[np.bool_]
    seen_before: NDArray[np.bool_]

    def reversed(self) -> Pair:
        """The pair played backwards."""
        return Pair(self.second, self.first, self.backward, self.forward, self.seen_before, self.seen)


@dataclass(frozen=True)
class Family:
    """What scenes are drawn from.

    Attributes:
        camera: the camera's projective map from frame to frame, for a plane at distance 1, and its shift in pixels.
        speed: length of an object's own shift in pixels.
    """

    textures: tuple[Texture, ...]
    shapes: tuple[Shape, ...]
    limb: Shape
    camera: Callable[[Random, Size], Camera]
    speed: Callable[[Random, Size], float]
    most_objects: int
    still: float  # share of scenes in which nothing but the camera moves


@dataclass(frozen=True)
class Camera:
    """From frame 0 to frame 1: ``turn`` (3, 3) moves all alike, ``shift`` in pixels is divided by distance."""

    turn: Matrix
    shift: NDArray[np.float64]

    def plane(self, nearness: float, slope: NDArray[np.float64], size: Size) -> Matrix:
        """The map of a plane whose ``nearness`` (1 / distance) grows by ``slope`` across the picture."""
        middle = np.array([size[1] / 2, size[0] / 2])
        shear = np.eye(3)
        shear[:2, :2] += np.outer(self.shift, slope / max(size))
        shear[:2, 2] = self.shift * (nearness - slope @ middle / max(size))
        return self.turn @ shear


@dataclass
class _Layer:
    """One surface: premultiplied colour and opacity (h, w, 4), and its maps; points are x, y."""

    surface: Array
    u0: Matrix
    motion: Matrix
    bend: _Bend | None = None
    reflect: bool = False
    blur: float = 0.0
    streak: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))

    def __post_init__(self) -> None:
        self.u1: Matrix = self.u0 @ np.linalg.inv(self.motion)

    def render(self, frame: int, size: Size) -> Array:
        """(h, w, 4), premultiplied, through the lens and the shutter."""
        border = cv2.BORDER_REFLECT_101 if self.reflect else cv2.BORDER_CONSTANT
        if frame == 1 and self.bend is not None:
            x, y = _apply(self.u1, *_pixels(size))
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
class _Bend:
    """A wave across a layer, in its own pixels: points shift by ``amount`` (2,) times its height."""

    amount: NDArray[np.float64]
    wave: NDArray[np.float64]
    phase: float

    def __call__(self, x: Points, y: Points) -> tuple[Points, Points]:
        height = np.sin(self.wave[0] * x + self.wave[1] * y + self.phase)
        return self.amount[0] * height, self.amount[1] * height


def make_pair(rng: Random, size: Size, family: Family, *, clean: bool = False) -> Pair:
    """One pair of pictures (h, w) of a scene drawn from ``family``; a function of the generator's state.

    Args:
        clean: nothing that is not the surfaces': no blur, grain, light or exposure, so that pictures agree along the
            flow as far as interpolation lets them.
    """
    layers = _scene(rng, size, family, clean)
    (light, owner), (light_after, owner_after) = (_composite(layers, frame, size) for frame in (0, 1))
    forward, seen = _motion(layers, owner, owner_after, _Layer.forward, size)
    backward, seen_before = _motion(layers, owner_after, owner, _Layer.backward, size)
    frames = [light, light_after]
    if not clean:
        frames = _exposed(rng, frames, size)
        if rng.random() < 0.3:
            frames = _compressed(rng, frames)
    first, second = (np.asarray(log_encode(np.maximum(one, np.float32(DARKEST))), np.float32) for one in frames)
    return Pair(first, second, forward, backward, seen, seen_before)


def _scene(rng: Random, size: Size, family: Family, clean: bool) -> list[_Layer]:
    """Layers from back to front."""
    camera = family.camera(rng, size)
    shutter = 0.0 if clean or rng.random() < 0.5 else rng.uniform(0.2, 0.7)
    focus = 0.0 if clean else rng.choice([0.0, rng.uniform(0.3, 2.5)], p=[0.6, 0.4])
    layers = [_ground(rng, size, family, camera, np.full(size, True))]
    for _ in range(int(rng.integers(0, 3))):  # the set: further planes that move with the camera
        layers.append(_ground(rng, size, family, camera, _region(rng, size)))
    if rng.random() >= family.still:
        for _ in range(1 + int(rng.integers(0, family.most_objects))):
            layers += _object(rng, size, family, camera)
    near = rng.integers(0, len(layers))  # in focus
    for index, layer in enumerate(layers):
        middle = np.array([size[1] / 2, size[0] / 2])
        layer.streak = shutter * (np.concatenate(layer.forward(middle[:1], middle[1:])) - middle)
        layer.blur = focus if index != near else 0.0
    return layers


def _ground(rng: Random, size: Size, family: Family, camera: Camera, where: NDArray[np.bool_]) -> _Layer:
    """A plane of the set, seen where ``where`` says in frame 0 and as far as it was painted beyond."""
    margin = 1.25
    painted = (int(size[0] * margin), int(size[1] * margin))
    surface = np.ones((*painted, 4), np.float32)
    surface[..., :3] = _pick(rng, family.textures)(rng, painted)
    nearness = 1.0
    if not where.all():
        opacity = cv2.resize(where.astype(np.float32), painted[::-1], interpolation=cv2.INTER_LINEAR)
        opacity = np.clip((opacity - 0.5) * 2 + 0.5, 0, 1)
        surface[..., :3] *= opacity[..., None]
        surface[..., 3] = opacity
        nearness = rng.uniform(1.0, 1.8)
    u0 = _placed(np.array([size[1], size[0]]) / 2, np.array([painted[1], painted[0]]) / 2, rng.uniform(0.85, 1.05), 0.0)
    slope = rng.normal(0, 0.5, 2) * (rng.random() < 0.7)
    bend = None
    if rng.random() < 0.2:  # a relief: nearness varies along the camera's shift
        period = rng.uniform(0.3, 1.0) * max(size)
        amount = np.clip(0.25 * camera.shift, *(np.array([-1, 1]) * _LARGEST_BEND * period / (2 * math.pi)))
        bend = _Bend(amount, _direction(rng) * 2 * math.pi / period, rng.uniform(0, 7))
    return _Layer(surface, u0, camera.plane(nearness, slope, size), bend, reflect=True)


def _region(rng: Random, size: Size) -> NDArray[np.bool_]:
    """A part of the picture that reaches its border: ground below a horizon, a wall at the side, foliage."""
    noise = textures.octave_noise(rng, size, rng.uniform(30, 150), 4, rng.uniform(0.3, 0.7))
    x, y = _pixels(size)
    along = _direction(rng)
    ramp = ((x / size[1] - 0.5) * along[0] + (y / size[0] - 0.5) * along[1]).reshape(size)
    return np.asarray(ramp + rng.uniform(0.02, 0.35) * noise > rng.uniform(-0.05, 0.35))


def _object(rng: Random, size: Size, family: Family, camera: Camera) -> list[_Layer]:
    """A thing that moves by itself: one piece, or one with limbs that turn about their joints."""
    reach = rng.uniform(0.12, 0.75) * size[0]
    middle = rng.uniform(0.05, 0.95, 2) * (size[1], size[0])
    carried = camera.plane(rng.uniform(0.9, 1.6), np.zeros(2), size)
    speed = family.speed(rng, size)
    own = _about(middle, rng.normal(0, 0.03), np.exp(rng.normal(0, 0.03)), rng.normal(0, 0.02), speed * _direction(rng))
    body = _piece(rng, family, middle, reach, rng.uniform(0, 2 * math.pi), carried @ own)
    if rng.random() < 0.25:
        period = rng.uniform(0.4, 1.2) * reach
        most = _LARGEST_BEND * period / (2 * math.pi)
        amount = _direction(rng) * rng.uniform(0, min(most, 8.0))
        body.bend = _Bend(amount, _direction(rng) * 2 * math.pi / period, rng.uniform(0, 7))
        return [body]
    limbs = []
    if rng.random() < 0.3:
        skin = body.surface[..., :3]
        for _ in range(int(rng.integers(1, 5))):
            angle, long = rng.uniform(0, 2 * math.pi), reach * rng.uniform(0.5, 1.0)
            joint = middle + 0.3 * reach * np.array([math.cos(angle), math.sin(angle)])
            centre = joint + 0.36 * long * np.array([math.cos(angle), math.sin(angle)])
            turn = _about(joint, rng.normal(0, 0.2), 1.0, 0.0, np.zeros(2))
            limb = _piece(rng, family, centre, long, angle, carried @ own @ turn, family.limb)
            if rng.random() < 0.5:  # of one skin with the body
                fitted = cv2.resize(skin, limb.surface.shape[1::-1])
                limb.surface[..., :3] = fitted * limb.surface[..., 3:]
            limbs.append(limb)
    return [*limbs, body] if rng.random() < 0.5 else [body, *limbs]


def _piece(
    rng: Random, family: Family, middle: NDArray[np.float64], reach: float, angle: float, motion: Matrix,
    shape: Shape | None = None,
) -> _Layer:  # fmt: skip
    side = max(16, int(reach))
    opacity = (shape or _pick(rng, family.shapes))(rng, side)
    surface = np.dstack([_pick(rng, family.textures)(rng, (side, side)) * opacity[..., None], opacity])
    u0 = _placed(middle, np.full(2, side / 2), 1.0, angle)
    return _Layer(np.ascontiguousarray(surface, np.float32), u0, motion)


def _composite(layers: list[_Layer], frame: int, size: Size) -> tuple[Array, NDArray[np.int32]]:
    """Scene-linear light (h, w, 3), and which layer each pixel belongs to."""
    light = np.zeros((*size, 3), np.float32)
    owner = np.zeros(size, np.int32)
    for index, layer in enumerate(layers):
        picture = layer.render(frame, size)
        alpha = picture[..., 3]
        light *= 1 - alpha[..., None]
        light += picture[..., :3]
        owner[alpha >= _OPAQUE] = index
    return light, owner


def _motion(
    layers: list[_Layer], here: NDArray[np.int32], there: NDArray[np.int32],
    follow: Callable[[_Layer, Points, Points], tuple[Points, Points]], size: Size,
) -> tuple[Array, NDArray[np.bool_]]:  # fmt: skip
    """Flow of what each pixel belongs to, and whether that is seen where it leads."""
    flow = np.zeros((2, *size), np.float64)
    x, y = (one.reshape(size) for one in _pixels(size))
    for index, layer in enumerate(layers):
        mine = here == index
        if mine.any():
            to_x, to_y = follow(layer, x[mine], y[mine])
            flow[0][mine], flow[1][mine] = to_x - x[mine], to_y - y[mine]
    column, row = np.rint(x + flow[0]).astype(np.int64), np.rint(y + flow[1]).astype(np.int64)
    inside = (column >= 0) & (column < size[1]) & (row >= 0) & (row < size[0])
    meets = there[np.clip(row, 0, size[0] - 1), np.clip(column, 0, size[1] - 1)]
    return flow.astype(np.float32), inside & (meets == here)


def _exposed(rng: Random, light: list[Array], size: Size) -> list[Array]:
    """What the camera makes of it: glints, moving shadows, exposure and white balance that drift, grain."""
    stops, drift = rng.uniform(-3, 2), np.zeros(3)
    if rng.random() < 0.4:
        drift = rng.normal(0, 0.12) + rng.normal(0, 0.04, 3)
    glint = rng.uniform(10, 60) if rng.random() < 0.15 else 0.0
    shade = textures.octave_noise(rng, (size[0] + 80, size[1] + 80), rng.uniform(40, 160), 2, 0.5)
    depth = rng.uniform(0.2, 0.9) if rng.random() < 0.3 else 0.0
    edge, travel = rng.uniform(2, 12), (_direction(rng) * rng.uniform(0, 25)).astype(int)
    black, shot = rng.choice([0.0, 0.001, 0.004, 0.012]), rng.choice([0.0, 1e-4, 6e-4])
    frames = []
    for index, linear in enumerate(light):
        gain = np.exp2(stops + index * drift).astype(np.float32)
        if glint:
            linear = linear * (1 + glint * np.clip((linear.max(-1, keepdims=True) - 0.6) * 3, 0, 1))
        if depth:
            top, left = 40 + index * travel[1], 40 + index * travel[0]
            cast = shade[top : top + size[0], left : left + size[1]]
            linear = linear * (1 - depth * np.clip(0.5 + edge * cast, 0, 1))[..., None]
        seen = np.maximum(linear * gain, 0).astype(np.float32)  # smearing rounds a little below 0
        sigma = np.sqrt(black**2 + shot * seen).astype(np.float32)
        frames.append(seen + sigma * rng.standard_normal(seen.shape, np.float32) if black or shot else seen)
    return frames


def _compressed(rng: Random, frames: list[Array]) -> list[Array]:
    """Through 8 bits and the blocks of a camera's or an editor's codec, clipped at white."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 96))]
    white = max(0.05, float(np.percentile(frames[0], 98)))
    back = []
    for linear in frames:
        code = np.clip(linear / white, 0, 1) ** np.float32(1 / 2.2) * 255
        packed = cv2.imencode(".jpg", code.astype(np.uint8), quality)[1]
        picture = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.float32)
        back.append(np.asarray((picture / 255) ** 2.2 * white, np.float32))
    return back


def _training_camera(rng: Random, size: Size) -> Camera:
    """Often slow, sometimes fast: each part of the motion by a law of its own, many of them none at all."""
    middle = np.array([size[1], size[0]]) / 2
    fast = np.exp(rng.uniform(math.log(0.1), math.log(0.09 * size[1])))
    shift = _direction(rng) * fast * (rng.random() < 0.85)
    roll = rng.normal(0, 0.02) * (rng.random() < 0.5)
    zoom = np.exp(rng.normal(0, 0.025) * (rng.random() < 0.5))
    turn = _about(middle, roll, zoom, 0.0, np.zeros(2))
    if rng.random() < 0.3:
        turn = _tilted(turn, rng.normal(0, 0.02, 2), middle, size)
    return Camera(turn, shift)


def _held_out_camera(rng: Random, size: Size) -> Camera:
    """Hand-held: everything at once, normally distributed."""
    middle = np.array([size[1], size[0]]) / 2
    turn = _about(middle, rng.normal(0, 0.012), np.exp(rng.normal(0, 0.015)), 0.0, rng.normal(0, 2.0, 2))
    return Camera(_tilted(turn, rng.normal(0, 0.012, 2), middle, size), rng.normal(0, 0.016 * size[1], 2))


def _training_speed(rng: Random, size: Size) -> float:
    return float(np.exp(rng.uniform(math.log(0.4), math.log(0.12 * size[1]))))


def _held_out_speed(rng: Random, size: Size) -> float:
    return float(rng.gamma(2.0, 0.012 * size[1]))


TRAINING = Family(
    textures.TRAINING_TEXTURES, textures.TRAINING_SHAPES, textures.limb, _training_camera, _training_speed,
    most_objects=5, still=0.2,
)  # fmt: skip
HELD_OUT = Family(
    textures.HELD_OUT_TEXTURES, textures.HELD_OUT_SHAPES, textures.rounded_box, _held_out_camera, _held_out_speed,
    most_objects=3, still=0.1,
)  # fmt: skip


def _pick(rng: Random, choices: tuple) -> Callable:
    return choices[int(rng.integers(len(choices)))]


def _direction(rng: Random) -> NDArray[np.float64]:
    angle = rng.uniform(0, 2 * math.pi)
    return np.array([math.cos(angle), math.sin(angle)])


def _placed(here: NDArray[np.float64], there: NDArray[np.float64], scale: float, angle: float) -> Matrix:
    """The map that turns and scales, and carries ``here`` to ``there``."""
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    turn = np.array([[cosine, sine], [-sine, cosine]])
    return np.vstack([np.column_stack([turn, there - turn @ here]), [0, 0, 1]])


def _about(middle: NDArray[np.float64], angle: float, scale: float, shear: float, shift: NDArray[np.float64]) -> Matrix:
    """Turn, scale and shear about ``middle``, then shift."""
    turn = _placed(middle, middle, scale, angle)
    turn[0, 1] += shear
    turn[:2, 2] = middle - turn[:2, :2] @ middle + shift
    return turn


def _tilted(turn: Matrix, tilt: NDArray[np.float64], middle: NDArray[np.float64], size: Size) -> Matrix:
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


def _pixels(size: Size) -> tuple[Points, Points]:
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
