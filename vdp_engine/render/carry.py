"""Where the surface of one layer, seen in a frame, lies in a reference frame: the way an edit follows its layer.

The way is worked out from frame to frame, away from the reference:

1. The layer's optical flow to the frame before leads on from the way found there (``layer_flow``).
2. What has crept in is taken out by looking at the reference itself: the way is moved until the reference's picture,
   fetched along it, lies on the frame's (``anchor``). So errors do not add up over the shot.

Both give the layer a smooth motion of its own, on a coarse grid of nodes that lean on each other: where the layer is
hidden, flat or uncertain, its surroundings in the layer speak for it, and what other layers do plays no part.

Ways are kept as shifts, float32 (h, w, 2) in pixels of the working size: the surface under pixel p lies at
``p + shift(p)`` in the reference, x to the right and y down.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve

from vdp_engine.motion import MotionFrame, camera_flow
from vdp_engine.motion.sizes import Size
from vdp_engine.render.clean import resample, within
from vdp_engine.render.resize import pixels, shrunk

Array = NDArray[np.float32]

_SPACING = 16  # pixels between nodes, at each level of the pyramid
_CORRELATED = 50.0  # neighbouring pixels that tell the same: so many count for one
_SURE = 6.0  # pixels at motion size from the layer's edge to where flow is the layer's alone
_HOLD = 0.1  # of a node to the flow that the whole layer has in common, where nothing speaks against it
_LEAN = 1.0  # of a node on its neighbours; 1: they differ by a pixel or so
_STEP = 4  # every 4th pixel each way: an affine motion needs no more
_SLOPE_RIDGE = 1e-5
_SMALLEST_SIGMA = 0.1  # pixels; flow is no finer
_LEVELS = 4  # of the pyramid, each half the one before
_SMALLEST_SIDE = 24
_ROUNDS = 2  # a level
_LONGEST = 2.0  # pixels that a round moves the way at most, at its level
_LIGHT = 16.0  # pixels over which light may have changed evenly
_NOISE = 0.004  # least noise of log-encoded pictures
_LEAST = 30  # pixels without which there is nothing to measure


@dataclass(frozen=True)
class Look:
    """A frame at working size (h, w).

    Attributes:
        image: (h, w, 3), log-encoded.
        matte: (h, w), 0 to 1, how far the layer is seen.
    """

    image: Array
    matte: Array


def still(size: Size) -> Array:
    """The way from the reference frame to itself."""
    return np.zeros((*size, 2), np.float32)


def advanced(shift: Array, flow: Array) -> Array:
    """The way of a frame whose ``flow`` (h, w, 2) leads to a frame with the way ``shift``."""
    return flow + resample(shift, pixels((flow.shape[0], flow.shape[1])) + flow)


def layer_flow(motion: MotionFrame, gap: int, matte: Array, *, background: bool) -> Array:
    """The flow of one layer towards the neighbour at ``gap``, for every pixel: (h, w, 2) in pixels of ``matte``.

    The measured flow, where it is surely the layer's; elsewhere what that has in common: the camera's motion for the
    background, an affine motion for what moves by itself, bent towards the nearest that was measured.

    Args:
        motion: of the frame, at motion size.
        matte: (h, w) at working size, 0 to 1, how far the layer is seen.
    """
    index = motion.gaps.index(gap)
    size, fine = motion.size, (matte.shape[0], matte.shape[1])
    flow = _last(motion.flow[index].numpy())
    inside = (shrunk(matte, size) > 0.5).astype(np.uint8)
    # Near its edge a layer's flow is often that of what lies beside it, and forward and backward agree on it.
    edge = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    weight = np.clip(edge / _SURE, 0, 1) ** 2 * motion.confidence[index].numpy()
    common = None if background else _affine(flow, weight)
    if common is None:
        common = _last(camera_flow(motion.theta[index][None], size, size)[0].numpy())
    own = common + _bent(flow - common, weight)
    scale = np.array([fine[1] / size[1], fine[0] / size[0]], np.float32)
    return np.asarray(cv2.resize(own, fine[::-1], interpolation=cv2.INTER_LINEAR) * scale, np.float32)


def anchor(shift: Array, here: Look, reference: Look) -> Array:
    """``shift`` moved so that the reference's picture of the layer lies on the frame's; coarse to fine.

    Lucas-Kanade (An Iterative Image Registration Technique, IJCAI 1981) inside the layer alone, robust, with nodes
    that lean on each other. Where the layer is not seen in both frames the nearest correction goes on.
    """
    size = (shift.shape[0], shift.shape[1])
    levels = [(here.image, here.matte, reference.image, reference.matte)]
    while len(levels) < _LEVELS and min(levels[-1][0].shape[:2]) >= 2 * _SMALLEST_SIDE:
        half = ((levels[-1][0].shape[0] + 1) // 2, (levels[-1][0].shape[1] + 1) // 2)
        levels.append(tuple(shrunk(picture, half) for picture in levels[-1]))  # type: ignore[arg-type]
    for level in reversed(levels):
        for _ in range(_ROUNDS):
            step = _step(_resized(shift, (level[0].shape[0], level[0].shape[1])), *level)
            if step is None:
                break
            shift = advanced(shift, _resized(step, size))
    return shift


def _step(shift: Array, image: Array, matte: Array, other: Array, other_matte: Array) -> Array | None:
    """One round of ``anchor`` at one size, (h, w, 2); ``None``: too little of the layer is seen in both."""
    size = (image.shape[0], image.shape[1])
    way = pixels(size) + shift
    seen = np.asarray(matte * resample(other_matte, way, outside=0) * within(way, size), np.float32)
    # A slope between two layers is none of the layer's own.
    seen = np.asarray(cv2.erode(seen, np.ones((3, 3))), np.float32)
    if np.count_nonzero(seen > 0.5) < _LEAST:
        return None
    fetched = resample(other, way, cubic=True)
    slope_x, slope_y = _slopes(np.asarray((image + fetched) / 2, np.float32))
    change = image - fetched
    change -= _local_mean(change, seen)
    length = np.sqrt((change**2).sum(-1))
    sigma = 1.5 * max(1.48 * float(np.median(length[seen > 0.5])), _NOISE)
    weight = (seen * (sigma / (sigma**2 + length**2)) ** 2)[..., None]  # Geman-McClure, over sigma²
    products = [slope_x**2, slope_x * slope_y, slope_y**2, slope_x * change, slope_y * change]
    told = _gathered(np.dstack([product.sum(-1) for product in products]) * weight)
    step = _solve(told[..., :3], told[..., 3:], hold=0.02)
    reach = np.sqrt((step**2).sum(-1, keepdims=True))
    return _resized_plain(step * np.minimum(1, _LONGEST / np.maximum(reach, 1e-6)), size)


def _affine(flow: Array, weight: Array) -> Array | None:
    """The affine motion that most of the weighted flow follows (Geman-McClure), (h, w, 2); ``None``: too little."""
    height, width = weight.shape
    y, x = np.mgrid[:height:_STEP, :width:_STEP].astype(np.float64)
    basis = np.stack([np.ones_like(x), x / width - 0.5, y / height - 0.5], -1).reshape(-1, 3)
    samples = flow[::_STEP, ::_STEP].reshape(-1, 2).astype(np.float64)
    chance = weight[::_STEP, ::_STEP].ravel().astype(np.float64)
    sure = chance > 0.3
    if np.count_nonzero(sure) < 3:
        return None
    counts = chance
    for round_ in range(10):
        # einsum, not @: the sums do not depend on how many threads there are.
        normal = np.einsum("p,pi,pj->ij", counts, basis, basis)
        normal += counts.sum() * _SLOPE_RIDGE * np.diag([0.0, 1.0, 1.0])
        theta = np.linalg.solve(normal, np.einsum("p,pi,pc->ic", counts, basis, samples))
        residual = np.linalg.norm(samples - np.einsum("pi,ic->pc", basis, theta), axis=1)
        sigma = max(1.48 * float(np.median(residual[sure])), _SMALLEST_SIGMA) * (2 if round_ < 5 else 1)
        counts = chance * (sigma**2 / (sigma**2 + residual**2)) ** 2
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    whole = [t[0] + t[1] * (columns / width - 0.5) + t[2] * (rows / height - 0.5) for t in theta.T]
    return np.dstack(whole).astype(np.float32)


def _bent(residual: Array, weight: Array) -> Array:
    """What of ``residual`` (h, w, 2) the layer has: on nodes, robust, 0 where nothing near was measured."""
    size = (weight.shape[0], weight.shape[1])
    sure = weight > 0.3
    fitted = np.zeros_like(residual)
    for _ in range(3):
        off = np.sqrt(((residual - fitted) ** 2).sum(-1))
        sigma = max(1.48 * float(np.median(off[sure])), _SMALLEST_SIGMA) if sure.any() else 0.5
        counts = (weight * (sigma / (sigma**2 + off**2)) ** 2)[..., None]
        told = _gathered(np.dstack([counts, residual * counts]).astype(np.float32))
        both = np.dstack([told[..., 0], np.zeros_like(told[..., 0]), told[..., 0]])
        fitted = _resized_plain(_solve(both, told[..., 1:], hold=_HOLD), size)
    return fitted


def _gathered(evidence: Array) -> Array:
    """What the pixels (h, w, C) tell, summed over the cell of each node, (rows, columns, C)."""
    height, width = evidence.shape[:2]
    nodes = (max(2, round(height / _SPACING)), max(2, round(width / _SPACING)))
    share = height * width / (nodes[0] * nodes[1] * _CORRELATED)
    # OpenCV's area means take four channels at most.
    means = [shrunk(np.asarray(plane, np.float32), nodes) for plane in cv2.split(evidence)]
    return np.dstack(means) * np.float32(share)


def _solve(precision: Array, pull: Array, *, hold: float) -> Array:
    """Moves of the nodes, (rows, columns, 2), that follow the ``pull`` and lean on each other.

    Minimises Σ ½ uᵀ P u − pullᵀ u + ½ hold |u|² over the nodes + ½ ``_LEAN`` |u − u'|² over neighbours.

    Args:
        precision: (rows, columns, 3), the P of each node: xx, xy, yy.
        pull: (rows, columns, 2).
    """
    rows, columns = pull.shape[:2]
    count = rows * columns
    leaning = _LEAN * _neighbours(rows, columns) + hold * sparse.eye(count)
    xx, xy, yy = (sparse.diags(precision[..., axis].ravel().astype(np.float64)) for axis in range(3))
    system = sparse.bmat([[leaning + xx, xy], [xy, leaning + yy]]).tocsc()
    moves = spsolve(system, np.moveaxis(pull, -1, 0).ravel().astype(np.float64))
    return _last(moves.reshape(2, rows, columns).astype(np.float32))


@lru_cache(maxsize=16)
def _neighbours(rows: int, columns: int) -> sparse.spmatrix:
    """The Laplacian of a grid: Σ (u − u')² over neighbours as uᵀ L u."""

    def line(count: int) -> sparse.spmatrix:
        degree = np.full(count, 2.0)
        degree[[0, -1]] = 1.0
        beside = np.full(count - 1, -1.0)
        return sparse.diags([beside, degree, beside], [-1, 0, 1])

    return sparse.kron(line(rows), sparse.eye(columns)) + sparse.kron(sparse.eye(rows), line(columns))


def _slopes(image: Array) -> tuple[Array, Array]:
    """Central differences of (h, w, C) along x and y."""
    across = np.array([[-0.5, 0, 0.5]], np.float32)
    one = np.ones((1, 1), np.float32)
    sides = (cv2.sepFilter2D(image, -1, across, one), cv2.sepFilter2D(image, -1, one, across))
    return np.asarray(sides[0], np.float32), np.asarray(sides[1], np.float32)


def _local_mean(x: Array, weight: Array) -> Array:
    share = cv2.GaussianBlur(weight, (0, 0), _LIGHT) + 1e-3
    return np.asarray(cv2.GaussianBlur(x * weight[..., None], (0, 0), _LIGHT) / share[..., None], np.float32)


def _resized(shift: Array, size: Size) -> Array:
    """A shift at another size, in pixels of that size."""
    if shift.shape[:2] == size:
        return shift
    scale = np.array([size[1] / shift.shape[1], size[0] / shift.shape[0]], np.float32)
    return _resized_plain(shift, size) * scale


def _resized_plain(x: Array, size: Size) -> Array:
    return np.asarray(cv2.resize(x, size[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _last(x: Array) -> Array:
    """(C, h, w) as (h, w, C)."""
    return np.ascontiguousarray(np.moveaxis(x, 0, -1))
