"""Mattes from net size to the plate's own pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vdp_engine.render.matting import local_model
from vdp_engine.render.resize import enlarged

Array = NDArray[np.float32]

_BAND = 2.2  # pixels of the net around its edge in which the plate decides
_REACH = 0.05  # of the picture's height, from which colours are gathered
_SHARPEN = 3.0  # the net's own matte is smeared by about its pixel
_FLOOR, _CEILING = 0.05, 0.95
_ROWS = 64


def refine(mattes: Array, small: Array, plate: Array) -> Array:
    """α at the plate's own size: matting around the edges of the net's mattes, worked out small and used large.

    What is carried from the small picture to the large is not α but how it depends on colour (He, Sun and Tang, "Guided
    Image Filtering", 2010): hairs finer than a small pixel are told apart by their colour.

    Args:
        mattes: (F, h, w), the foreground layers' mattes at net size.
        small: (sh, sw, 3), the plate at the size to work in, scene-linear.
        plate: (H, W, 3), scene-linear.

    Returns:
        (F, H, W): α of each foreground layer, 0 to 1, their sum at most 1. Exactly 0 and 1 away from edges: what is
        nearly solid is made solid, so that the compositor finds no veil over the background and no holes in the layer.
    """
    image = _encoded(small)
    refined = np.stack([_applied(_model(matte, image), plate) for matte in mattes])
    if len(refined) > 1:
        refined /= np.maximum(refined.sum(0), 1.0)
    return refined


def _model(matte: Array, image: Array) -> Array:
    """Slopes and offset (sh, sw, 4) of α = slopes · colour + offset around each pixel."""
    height, width = image.shape[:2]
    large = np.asarray(cv2.resize(matte, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    inside = (large > 0.5).astype(np.uint8)
    distance = np.maximum(
        cv2.distanceTransform(inside, cv2.DIST_L2, 5), cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    )
    unknown = distance < _BAND * height / matte.shape[0]
    prior = np.clip((large - 0.5) * _SHARPEN + 0.5, 0.0, 1.0)
    return local_model(image, inside.astype(np.float32), prior, unknown, max(1, round(_REACH * height)))


def _applied(model: Array, plate: Array) -> Array:
    """α (H, W) of ``plate`` by a model at any size."""
    height, width = plate.shape[:2]
    offset, depends = model[..., 3], np.any(model[..., :3], axis=-1)
    alpha = np.empty((height, width), np.float32)
    for top in range(0, height, _ROWS):
        rows = slice(top, min(top + _ROWS, height))
        alpha[rows] = enlarged(offset, (height, width), (rows, slice(0, width)))
        columns = _columns(depends, rows, (height, width))
        if columns is not None:
            local = enlarged(model, (height, width), (rows, columns))
            colour = _encoded(plate[rows, columns])
            alpha[rows, columns] = local[..., 3] + np.einsum("hwc,hwc->hw", local[..., :3], colour)
    return np.clip((alpha - _FLOOR) / (_CEILING - _FLOOR), 0.0, 1.0, out=alpha)


def _columns(marked: NDArray[np.bool_], rows: slice, size: tuple[int, int]) -> slice | None:
    """Columns of a picture of ``size`` that what is ``marked`` in a small one reaches in ``rows``."""
    down, across = size[0] / marked.shape[0], size[1] / marked.shape[1]
    # One more on each side, as bilinear enlarging has it.
    near = marked[max(0, int(rows.start / down) - 1) : int(rows.stop / down) + 2]
    found = np.flatnonzero(near.any(0))
    if not len(found):
        return None
    return slice(max(0, int((found[0] - 1) * across)), min(size[1], int((found[-1] + 2) * across) + 1))


def _encoded(light: Array) -> Array:
    """Square roots: photon noise is the same at every brightness then, and eyes judge edges about so."""
    return np.sqrt(np.maximum(light, 0))
