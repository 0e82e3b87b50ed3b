"""The sizes at which motion is worked out: of the flow, of the motion evidence, and of the nets."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vdp_engine.settings import Quality

Size = tuple[int, int]
"""(height, width) in pixels."""

_NET_STRIDE = 8  # three halvings in the U-Nets

# Areas rather than sides: a 4:3 and a 2.39:1 plate then cost the same and see details of the same size.
_AREAS: dict[Quality, tuple[int, int, int]] = {
    "draft": (240 * 428, 160 * 288, 80 * 144),
    "standard": (480 * 854, 240 * 428, 80 * 144),
    "final": (540 * 960, 270 * 480, 120 * 216),
}

GAPS: dict[Quality, tuple[int, ...]] = {"draft": (1, 2), "standard": (1, 2), "final": (1, 2, 4)}
"""How many frames apart flow is estimated. Gap 4 costs a third more and helps slow objects only."""


@dataclass(frozen=True)
class WorkingSizes:
    """Sizes of a shot below plate resolution, each (height, width).

    Attributes:
        flow: where optical flow is estimated; never larger than the plate.
        motion: where camera motion and motion evidence are worked out and cached; sides are multiples of 8.
        net: where the nets are fitted; sides are multiples of 8.
    """

    flow: Size
    motion: Size
    net: Size


def working_sizes(canvas: Size, pixel_aspect: float, quality: Quality) -> WorkingSizes:
    """The working sizes for a plate of ``canvas`` (height, width) pixels, each ``pixel_aspect`` wide for its height.

    The pixel aspect is squeezed out: working pixels are square, so that a length of flow means the same in every
    direction (evidence compares lengths) and nets and patches see things in their true shape.
    """
    height, width = canvas
    aspect = width * pixel_aspect / height
    flow_area, motion_area, net_area = _AREAS[quality]

    scale = min(1.0, height / math.sqrt(flow_area / aspect), width / math.sqrt(flow_area * aspect))
    flow = (
        min(height, max(1, round(scale * math.sqrt(flow_area / aspect)))),
        min(width, max(1, round(scale * math.sqrt(flow_area * aspect)))),
    )
    available = flow[0] * flow[1]
    return WorkingSizes(
        flow=flow,
        motion=_strided(min(motion_area, available), aspect),
        net=_strided(min(net_area, available), aspect),
    )


def _strided(area: float, aspect: float) -> Size:
    return _nearest_multiple(math.sqrt(area / aspect)), _nearest_multiple(math.sqrt(area * aspect))


def _nearest_multiple(side: float) -> int:
    return max(_NET_STRIDE, round(side / _NET_STRIDE) * _NET_STRIDE)
