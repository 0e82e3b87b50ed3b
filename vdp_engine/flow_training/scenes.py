"""Pairs of pictures whose optical flow is known: layers of texture under smooth maps, in front of one another.

Where a surface lies follows from its maps (``surfaces``), never from the pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vdp_engine.flow_training import textures
from vdp_engine.flow_training.surfaces import LARGEST_BEND, Bend, Layer, Matrix, Points, about, pixels, placed, tilted
from vdp_engine.flow_training.textures import Array, Shape, Size, Texture
from vdp_engine.motion.proxy import encoded

Random = np.random.Generator

_OPAQUE = 0.5  # a pixel belongs to the front layer that covers at least so much of it


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
        limb: the shape of an articulated object's limbs.
        camera: how the camera moves.
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


def make_pair(rng: Random, size: Size, family: Family, *, clean: bool = False) -> Pair:
    """One pair of pictures (h, w) of a scene drawn from ``family``; a function of the generator's state.

    Args:
        clean: nothing that is not the surfaces': no blur, grain, light or exposure, so that pictures agree along the
            flow as far as interpolation lets them.
    """
    layers = _scene(rng, size, family, clean)
    (light, owner), (light_after, owner_after) = (_composite(layers, frame, size) for frame in (0, 1))
    forward, seen = _motion(layers, owner, owner_after, Layer.forward, size)
    backward, seen_before = _motion(layers, owner_after, owner, Layer.backward, size)
    frames = [light, light_after]
    if not clean:
        frames = _exposed(rng, frames, size)
        if rng.random() < 0.3:
            frames = _compressed(rng, frames)
    first, second = (encoded(one) for one in frames)
    return Pair(first, second, forward, backward, seen, seen_before)


def _scene(rng: Random, size: Size, family: Family, clean: bool) -> list[Layer]:
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


def _ground(rng: Random, size: Size, family: Family, camera: Camera, where: NDArray[np.bool_]) -> Layer:
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
    u0 = placed(np.array([size[1], size[0]]) / 2, np.array([painted[1], painted[0]]) / 2, rng.uniform(0.85, 1.05), 0.0)
    slope = rng.normal(0, 0.5, 2) * (rng.random() < 0.7)
    bend = None
    if rng.random() < 0.2:  # a relief: nearness varies along the camera's shift
        period = rng.uniform(0.3, 1.0) * max(size)
        amount = np.clip(0.25 * camera.shift, *(np.array([-1, 1]) * LARGEST_BEND * period / (2 * math.pi)))
        bend = Bend(amount, _direction(rng) * 2 * math.pi / period, rng.uniform(0, 7))
    return Layer(surface, u0, camera.plane(nearness, slope, size), bend, reflect=True)


def _region(rng: Random, size: Size) -> NDArray[np.bool_]:
    """A part of the picture that reaches its border: ground below a horizon, a wall at the side, foliage."""
    noise = textures.octave_noise(rng, size, rng.uniform(30, 150), 4, rng.uniform(0.3, 0.7))
    x, y = pixels(size)
    along = _direction(rng)
    ramp = ((x / size[1] - 0.5) * along[0] + (y / size[0] - 0.5) * along[1]).reshape(size)
    return np.asarray(ramp + rng.uniform(0.02, 0.35) * noise > rng.uniform(-0.05, 0.35))


def _object(rng: Random, size: Size, family: Family, camera: Camera) -> list[Layer]:
    """A thing that moves by itself: one piece, or one with limbs that turn about their joints."""
    reach = rng.uniform(0.12, 0.75) * size[0]
    middle = rng.uniform(0.05, 0.95, 2) * (size[1], size[0])
    carried = camera.plane(rng.uniform(0.9, 1.6), np.zeros(2), size)
    speed = family.speed(rng, size)
    own = about(middle, rng.normal(0, 0.03), np.exp(rng.normal(0, 0.03)), rng.normal(0, 0.02), speed * _direction(rng))
    body = _piece(rng, family, middle, reach, rng.uniform(0, 2 * math.pi), carried @ own)
    if rng.random() < 0.25:
        period = rng.uniform(0.4, 1.2) * reach
        most = LARGEST_BEND * period / (2 * math.pi)
        amount = _direction(rng) * rng.uniform(0, min(most, 8.0))
        body.bend = Bend(amount, _direction(rng) * 2 * math.pi / period, rng.uniform(0, 7))
        return [body]
    limbs = []
    if rng.random() < 0.3:
        skin = body.surface[..., :3]
        for _ in range(int(rng.integers(1, 5))):
            angle, long = rng.uniform(0, 2 * math.pi), reach * rng.uniform(0.5, 1.0)
            joint = middle + 0.3 * reach * np.array([math.cos(angle), math.sin(angle)])
            centre = joint + 0.36 * long * np.array([math.cos(angle), math.sin(angle)])
            turn = about(joint, rng.normal(0, 0.2), 1.0, 0.0, np.zeros(2))
            limb = _piece(rng, family, centre, long, angle, carried @ own @ turn, family.limb)
            if rng.random() < 0.5:  # of one skin with the body
                fitted = cv2.resize(skin, limb.surface.shape[1::-1])
                limb.surface[..., :3] = fitted * limb.surface[..., 3:]
            limbs.append(limb)
    return [*limbs, body] if rng.random() < 0.5 else [body, *limbs]


def _piece(
    rng: Random, family: Family, middle: NDArray[np.float64], reach: float, angle: float, motion: Matrix,
    shape: Shape | None = None,
) -> Layer:  # fmt: skip
    side = max(16, int(reach))
    opacity = (shape or _pick(rng, family.shapes))(rng, side)
    surface = np.dstack([_pick(rng, family.textures)(rng, (side, side)) * opacity[..., None], opacity])
    u0 = placed(middle, np.full(2, side / 2), 1.0, angle)
    return Layer(np.ascontiguousarray(surface, np.float32), u0, motion)


def _composite(layers: list[Layer], frame: int, size: Size) -> tuple[Array, NDArray[np.int32]]:
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
    layers: list[Layer], here: NDArray[np.int32], there: NDArray[np.int32],
    follow: Callable[[Layer, Points, Points], tuple[Points, Points]], size: Size,
) -> tuple[Array, NDArray[np.bool_]]:  # fmt: skip
    """Flow of what each pixel belongs to, and whether that is seen where it leads."""
    flow = np.zeros((2, *size), np.float64)
    x, y = (one.reshape(size) for one in pixels(size))
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
    turn = about(middle, roll, zoom, 0.0, np.zeros(2))
    if rng.random() < 0.3:
        turn = tilted(turn, rng.normal(0, 0.02, 2), middle, size)
    return Camera(turn, shift)


def _held_out_camera(rng: Random, size: Size) -> Camera:
    """Hand-held: everything at once, normally distributed."""
    middle = np.array([size[1], size[0]]) / 2
    turn = about(middle, rng.normal(0, 0.012), np.exp(rng.normal(0, 0.015)), 0.0, rng.normal(0, 2.0, 2))
    return Camera(tilted(turn, rng.normal(0, 0.012, 2), middle, size), rng.normal(0, 0.016 * size[1], 2))


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
