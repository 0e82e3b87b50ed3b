"""α of the pixels between what surely belongs to a layer and what surely does not.

Two things speak for it. A pixel's colour lies between those that both sides have nearby. And α follows the picture:
in any 3x3 pixels it is nearly a linear function of colour, which is what the matting Laplacian L measures (Levin,
Lischinski and Weiss, "A Closed-Form Solution to Natural Image Matting", 2008, equation 12). Both are weighed as in
Wang and Cohen, "Optimized Color Sampling for Robust Matting" (2007), with a linear discriminant in place of samples:

    α = argmin αᵀ L α + Σ trust · (α − target)²
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Array = NDArray[np.float32]
Index = NDArray[np.intp]
Mask = NDArray[np.bool_]

_FLAT = 1e-4  # ε of the Laplacian: the variance below which nine pixels count as one colour
_NOISE = 1e-4  # variance that any colour has around its mean
_TRUST_COLOUR, _TRUST_PRIOR = np.float32(1e-2), np.float32(1e-3)  # against the Laplacian
_APART = np.float32(25.0)  # squared distance of two colours, in their variance, from which they are surely told apart
_TOLERANCE, _MOST_STEPS = 1e-3, 200
_AT_ONCE = 1 << 14  # windows


def local_model(image: Array, known: Array, prior: Array, unknown: Mask, reach: int) -> Array:
    """The local linear model α = slopes · colour + offset around every pixel.

    Args:
        image: (H, W, 3), encoded so that noise is about the same at every brightness.
        known: (H, W), α, 0 or 1, where it is known.
        prior: (H, W), 0 to 1, what α leans to where colours say little.
        unknown: (H, W), where α is looked for.
        reach: pixels from which the colours of both sides are gathered.

    Returns:
        (H, W, 4), slopes and offset. Away from the unknown the slopes are 0 and the offset is what is known.
    """
    alpha = np.array(known, np.float32)
    windows = _Windows.around(image, unknown)
    at = np.flatnonzero(unknown)
    if len(at):
        share, apart = discriminate(image, known, unknown, reach)
        trust_colour = _TRUST_COLOUR * np.minimum(apart / _APART, 1)
        trust = trust_colour + _TRUST_PRIOR
        target = (trust_colour * share + _TRUST_PRIOR * prior.ravel()[at]) / trust
        alpha.ravel()[at] = np.clip(_minimum(windows, known, at, target, trust), 0, 1)
    return windows.model(alpha)


def discriminate(image: Array, known: Array, unknown: Mask, reach: int) -> tuple[Array, Array]:
    """α that the colour of each unknown pixel alone speaks for, and how far apart the colours of both sides are.

    Fisher's linear discriminant of what is known of both sides nearby: with means μ₁ and μ₀ and mean covariance Σ,
    v = Σ⁻¹ (μ₁ − μ₀), apart = (μ₁ − μ₀)·v, α = (x − μ₀)·v / apart.

    Returns:
        Two arrays (N,): α, 0 to 1, and the squared distance, 0 where a side is nowhere near.
    """
    at = np.flatnonzero(unknown)
    some1, mean1, covariance1 = _colours(image, ~unknown & (known > 0.5), reach, at)
    some0, mean0, covariance0 = _colours(image, ~unknown & (known <= 0.5), reach, at)
    between = mean1 - mean0
    covariance = 0.5 * (covariance1 + covariance0) + np.float32(_NOISE) * np.eye(3, dtype=np.float32)
    direction = np.linalg.solve(covariance, between[..., None])[..., 0]
    apart = np.einsum("nc,nc->n", between, direction) * (some1 & some0)
    share = np.einsum("nc,nc->n", image.reshape(-1, 3)[at] - mean0, direction)
    return np.clip(share / np.maximum(apart, np.float32(1e-6)), 0, 1), apart


def _colours(image: Array, where: Mask, reach: int, at: Index) -> tuple[Mask, Array, Array]:
    """In the square around each of the pixels ``at``: whether ``where`` is anywhere, its mean colour and covariance."""
    weight = where.astype(np.float32)
    side = 2 * reach + 1

    def mean(x: Array) -> Array:
        return np.asarray(cv2.blur(x, (side, side), borderType=cv2.BORDER_REFLECT), np.float32).ravel()[at]

    share = mean(weight)
    some = share > 0.5 / side**2
    share = np.where(some, share, np.float32(1))
    planes = [plane * weight for plane in cv2.split(image)]
    means = [mean(plane) / share for plane in planes]
    covariance = np.empty((len(at), 3, 3), np.float32)
    for a in range(3):
        for b in range(a, 3):
            together = mean(planes[a] * planes[b]) / share - means[a] * means[b]
            covariance[:, a, b] = covariance[:, b, a] = together
    return some, np.stack(means, -1), covariance


@dataclass(frozen=True)
class _Windows:
    """The 3x3 windows that hold an unknown pixel.

    Attributes:
        size: of the picture.
        centres: (K,), flat pixel indices.
        mean: (K, 3), mean colour.
        colours: (K, 9, 3), colours less their mean.
        scaled: (K, 9, 3), the same times the inverse of their covariance.
    """

    size: tuple[int, int]
    centres: Index
    mean: Array
    colours: Array
    scaled: Array

    @classmethod
    def around(cls, image: Array, unknown: Mask) -> _Windows:
        near = cv2.dilate(unknown.astype(np.uint8), np.ones((3, 3), np.uint8))
        near[[0, -1]] = near[:, [0, -1]] = 0
        centres = np.flatnonzero(near)
        colours = image.reshape(-1, 3)[centres[:, None] + _steps(1, unknown.shape[1])]
        mean = colours.mean(1)
        colours -= mean[:, None]
        covariance = np.einsum("kia,kib->kab", colours, colours) / np.float32(9)
        covariance += np.float32(_FLAT / 9) * np.eye(3, dtype=np.float32)
        scaled = np.einsum("kia,kab->kib", colours, np.linalg.inv(covariance))
        return cls((unknown.shape[0], unknown.shape[1]), centres, mean, colours, scaled)

    def model(self, alpha: Array) -> Array:
        """Each window's linear model of ``alpha`` (H, W), averaged over the windows around a pixel: (H, W, 4)."""
        planes = np.zeros((*self.size, 4), np.float32)
        planes[..., 3] = alpha
        values = alpha.ravel()[self.centres[:, None] + _steps(1, self.size[1])]
        slopes = np.einsum("kic,ki->kc", self.scaled, values) / np.float32(9)
        flat = planes.reshape(-1, 4)
        flat[self.centres, :3] = slopes
        flat[self.centres, 3] = values.mean(1) - np.einsum("kc,kc->k", slopes, self.mean)
        return np.asarray(cv2.blur(planes, (3, 3), borderType=cv2.BORDER_REFLECT), np.float32)

    def laplacian(self, at: Index) -> Array:
        """Rows of the matting Laplacian for the pixels ``at``, each over the 5x5 pixels around: (N, 25)."""
        rows = _positions(at, self.size)
        values = np.zeros((25, len(at)), np.float32)
        steps = _steps(1, self.size[1])
        for start in range(0, len(self.centres), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            together = np.einsum("kac,kbc->abk", self.scaled[part], self.colours[part])
            for a in range(9):
                row = rows[self.centres[part] + steps[a]]
                inside = np.flatnonzero(row >= 0)
                row = row[inside]
                values[12, row] += 1
                for b in range(9):
                    place = 5 * (b // 3 - a // 3 + 2) + b % 3 - a % 3 + 2
                    values[place, row] -= (1 + together[a, b, inside]) / np.float32(9)
        return np.ascontiguousarray(values.T)


def _minimum(windows: _Windows, known: Array, at: Index, target: Array, trust: Array) -> Array:
    """α (N,) at the pixels ``at`` that minimises αᵀ L α + Σ trust (α − target)² with what is ``known`` around them."""
    # Beyond the picture's edges the rows hold zeros, so any pixel will do.
    around = np.clip(at[:, None] + _steps(2, windows.size[1]), 0, known.size - 1)
    columns = _positions(at, windows.size)[around]
    rows = windows.laplacian(at)
    fixed = np.where(columns < 0, rows, 0)
    right = trust * target - np.einsum("nk,nk->n", fixed, known.ravel()[around])
    rows[columns < 0] = 0
    rows[:, 12] += trust
    ends = np.arange(0, rows.size + 1, rows.shape[1], dtype=np.int32)
    matrix = csr_matrix((rows.ravel(), np.maximum(columns, 0).ravel(), ends), (len(at), len(at)))
    return _conjugate_gradients(matrix, right, target, rows[:, 12])


def _conjugate_gradients(matrix: csr_matrix, right: Array, guess: Array, diagonal: Array) -> Array:
    """``matrix`` x = ``right``, preconditioned by the diagonal.

    Its sums are numpy's own: those of a BLAS, which SciPy's solver uses, depend on the number of threads.
    """
    x = np.array(guess, np.float32)
    error = right - matrix @ x
    scaled = error / diagonal
    direction, progress = scaled, float(np.sum(error * scaled))
    enough = _TOLERANCE**2 * float(np.sum(right * right))
    for _ in range(_MOST_STEPS):
        if float(np.sum(error * error)) <= enough:
            break
        forward = matrix @ direction
        length = np.float32(progress / float(np.sum(direction * forward)))
        x += length * direction
        error -= length * forward
        scaled = error / diagonal
        last, progress = progress, float(np.sum(error * scaled))
        direction = scaled + np.float32(progress / last) * direction
    return x


def _steps(radius: int, width: int) -> Index:
    """From a pixel to those of the square around it, in flat indices."""
    across = np.arange(-radius, radius + 1)
    return (across[:, None] * width + across).ravel()


def _positions(at: Index, size: tuple[int, int]) -> NDArray[np.int32]:
    """(H·W,): where in ``at`` each pixel stands, -1 for none."""
    positions = np.full(size[0] * size[1], -1, np.int32)
    positions[at] = np.arange(len(at), dtype=np.int32)
    return positions
