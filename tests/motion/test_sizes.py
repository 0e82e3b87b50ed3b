import pytest

from vdp_engine.motion.sizes import working_sizes


@pytest.mark.parametrize(
    ("canvas", "aspect", "quality", "flow", "motion", "net"),
    [
        ((480, 854), 1.0, "draft", (240, 427), (160, 288), (80, 144)),
        ((480, 854), 1.0, "standard", (480, 854), (240, 424), (80, 144)),
        ((480, 854), 1.0, "final", (480, 854), (272, 480), (120, 216)),
        ((1080, 1920), 1.0, "standard", (480, 854), (240, 424), (80, 144)),
        ((2160, 4096), 1.0, "final", (523, 991), (264, 496), (120, 224)),
        ((1556, 1828), 2.0, "standard", (418, 981), (208, 488), (72, 168)),  # anamorphic: square working pixels
        ((16, 16), 1.0, "final", (16, 16), (16, 16), (16, 16)),
        ((5, 3), 1.0, "standard", (5, 3), (8, 8), (8, 8)),
        ((1, 1), 1.0, "standard", (1, 1), (8, 8), (8, 8)),
    ],
)
def test_sizes(canvas, aspect, quality, flow, motion, net):
    sizes = working_sizes(canvas, aspect, quality)
    assert (sizes.flow, sizes.motion, sizes.net) == (flow, motion, net)


@pytest.mark.parametrize("quality", ["draft", "standard", "final"])
@pytest.mark.parametrize("canvas", [(1, 1), (7, 900), (900, 7), (100, 100), (721, 1279), (3000, 8000)])
@pytest.mark.parametrize("aspect", [0.5, 1.0, 2.0])
def test_flow_fits_the_plate_and_nets_can_halve(canvas, aspect, quality):
    sizes = working_sizes(canvas, aspect, quality)
    assert 1 <= sizes.flow[0] <= canvas[0]
    assert 1 <= sizes.flow[1] <= canvas[1]
    for side in (*sizes.motion, *sizes.net):
        assert side >= 8
        assert side % 8 == 0
