"""Every term against a float64 numpy reference written from its formula, and its gradient against differences."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from vdp_engine.model import losses

N, L, C, H, W = 2, 3, 3, 6, 7


def random(*shape, seed=0, low=0.0, high=1.0):
    return np.random.default_rng([seed, *shape]).uniform(low, high, shape)


def random_mattes(seed=0):
    raw = random(N, L, H, W, seed=seed) + 0.05
    return raw / raw.sum(1, keepdims=True)


def tensors(*arrays):
    return [torch.from_numpy(array) for array in arrays]


def two_features(image):
    """Feature maps that numpy and torch work out alike."""
    return [image[..., ::2] * 3.0, image[..., 1:, :] - image[..., :-1, :]]


def test_reconstruction_is_l1_of_images_and_of_features():
    ours, plate = random(N, C, H, W), random(N, C, H, W, seed=1)
    expected = np.abs(ours - plate).mean()
    expected += sum(np.abs(a - b).mean() for a, b in zip(two_features(ours), two_features(plate), strict=True))
    assert float(losses.reconstruction(*tensors(ours, plate), two_features)) == pytest.approx(expected, rel=1e-12)
    assert float(losses.reconstruction(*tensors(plate, plate), two_features)) == 0.0


def test_warp_is_l1_weighted_by_trust():
    here, carried, trust = random(N, C, H, W), random(N, C, H, W, seed=1), random(N, 1, H, W, seed=2)
    expected = (trust * np.abs(here - carried)).mean()
    assert float(losses.warp(*tensors(here, carried, trust))) == pytest.approx(expected, rel=1e-12)
    assert float(losses.warp(*tensors(here, here, trust))) == 0.0
    assert float(losses.warp(*tensors(here, carried, 0 * trust))) == 0.0


def reference_similarity(features, matte):
    total = 0.0
    for f, m in zip(features, matte, strict=True):
        inside, outside = (f * m).mean((1, 2)), (f * (1 - m)).mean((1, 2))
        total += inside @ outside / (np.linalg.norm(inside) * np.linalg.norm(outside))
    return total / len(features)


def test_similarity_is_the_mean_cosine_of_what_is_inside_and_outside():
    features, matte = random(N, 6, H, W, low=-1), random(N, 1, H, W, seed=1)
    expected = reference_similarity(features, matte)
    assert float(losses.similarity(*tensors(features, matte))) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("outside", "expected"), [((1.0, 0.0), 1.0), ((-1.0, 0.0), -1.0), ((0.0, 1.0), 0.0)])
def test_similarity_of_motions_that_agree_oppose_or_cross(outside, expected):
    features = torch.zeros(1, 2, 4, 4, dtype=torch.float64)
    features[:, 0, :, :2] = 1.0
    features[:, :, :, 2:] = torch.tensor(outside)[None, :, None, None]
    matte = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    matte[..., :2] = 1.0
    assert float(losses.similarity(features, matte)) == pytest.approx(expected, abs=1e-12)


def test_layer_is_l1_to_the_plate_where_the_matte_is_on():
    colour, plate, matte = random(N, C, H, W), random(N, C, H, W, seed=1), random(N, 1, H, W, seed=2)
    expected = (matte * np.abs(colour - plate)).mean()
    assert float(losses.layer(*tensors(colour, plate, matte))) == pytest.approx(expected, rel=1e-12)
    assert float(losses.layer(*tensors(colour, plate, np.zeros_like(matte)))) == 0.0


@pytest.mark.parametrize(
    ("mattes", "expected"),
    [
        (np.array([[0.0, 1.0, 1.0, 0.0]]), 2.0),  # the smallest there is
        (np.array([[0.25, 0.75]]), 4.0),
        (np.full((1, 8), 0.5), 1000.0),  # bounded where the formula is not
    ],
)
def test_mask_of_known_mattes(mattes, expected):
    assert float(losses.mask(torch.from_numpy(mattes))) == pytest.approx(expected, rel=1e-12)


def test_mask_is_a_mean_whatever_the_size_of_the_batch():
    mattes = random_mattes()
    expected = 1 / np.abs(mattes - 0.5).mean()
    (given,) = tensors(mattes)
    assert float(losses.mask(given)) == pytest.approx(expected, rel=1e-12)
    assert float(losses.mask(given.repeat(5, 1, 2, 2))) == pytest.approx(expected, rel=1e-12)


def reference_evidence(logits, target, balance):
    """Weighted cross-entropy, pixel by pixel; a layer's weight is (area of the background / its own) ** balance."""
    area = target.sum((0, 2, 3))
    rarity = [1.0] + [np.clip(area[0] / (a + 1), 1, 50) ** balance for a in area[1:]]
    total, weights = 0.0, 0.0
    for n, y, x in np.ndindex(N, H, W):
        z, t = logits[n, :, y, x], target[n, :, y, x]
        cross = -sum(t[i] * (z[i] - np.log(np.exp(z).sum())) for i in range(L))
        weight = sum(t[i] * rarity[i] for i in range(L))
        total, weights = total + weight * cross, weights + weight
    return total / weights


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_evidence_is_weighted_cross_entropy(balance):
    logits, target = random(N, L, H, W, low=-3, high=3), random_mattes(seed=1)
    target[:, 0] += 2.0
    target /= target.sum(1, keepdims=True)
    expected = reference_evidence(logits, target, balance)
    assert float(losses.evidence(*tensors(logits, target), balance)) == pytest.approx(expected, rel=1e-12)


def test_evidence_counts_a_rare_layer_for_more_than_its_area():
    target = torch.zeros(1, 2, 16, 16, dtype=torch.float64)
    target[:, 0] = 1.0
    target[:, :, 4:7, 4:7] = torch.tensor([0.0, 1.0], dtype=torch.float64)[None, :, None, None]
    wrong_on_layer = torch.zeros_like(target)
    wrong_on_layer[:, 0] = 4.0
    plain, balanced = (float(losses.evidence(wrong_on_layer, target, balance)) for balance in (0.0, 0.5))
    # 9 pixels wrong out of 256, 4 nats each; the weight of the layer is sqrt(247 / 10)
    weight = (247 / 10) ** 0.5
    right, wrong = np.log1p(np.exp(-4.0)), 4.0 + np.log1p(np.exp(-4.0))
    assert plain == pytest.approx((247 * right + 9 * wrong) / 256)
    assert balanced == pytest.approx((247 * right + 9 * weight * wrong) / (247 + 9 * weight))


def test_edge_weights_follow_the_formula():
    image = random(N, C, H, W)
    across = (np.diff(image, axis=3) ** 2).sum(1)
    down = (np.diff(image, axis=2) ** 2).sum(1)
    beta = 1 / (2 * np.concatenate([across.ravel(), down.ravel()]).mean())
    found = losses.edge_weights(torch.from_numpy(image))
    np.testing.assert_allclose(found[0].numpy(), np.exp(-beta * across), rtol=1e-12)
    np.testing.assert_allclose(found[1].numpy(), np.exp(-beta * down), rtol=1e-12)


def test_a_flat_picture_has_no_edges():
    for weights in losses.edge_weights(torch.full((1, 3, 4, 5), 0.3)):
        assert torch.equal(weights, torch.ones_like(weights))


def test_smoothness_is_total_variation_weighted_by_edges():
    mattes = random_mattes()
    across, down = random(N, H, W - 1, seed=1), random(N, H - 1, W, seed=2)
    expected = (across[:, None] * np.abs(np.diff(mattes, axis=3))).mean()
    expected += (down[:, None] * np.abs(np.diff(mattes, axis=2))).mean()
    assert float(losses.smoothness(*tensors(mattes, across, down))) == pytest.approx(expected, rel=1e-12)


def test_a_matte_that_changes_at_an_edge_of_the_plate_costs_less():
    image = torch.zeros(1, 3, 8, 8)
    image[..., 4:] = 1.0
    weights = losses.edge_weights(image)
    at_edge, beside = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    at_edge[..., 4:], beside[..., 3:] = 1.0, 1.0
    assert float(losses.smoothness(at_edge, *weights)) < 0.01 * float(losses.smoothness(beside, *weights))


def smooth_cases():
    """Terms at points where |x| is not at its kink."""
    plate, trust = random(1, 3, 3, 4, seed=3), random(1, 1, 3, 4, seed=4)
    above = plate + 0.2 + random(1, 3, 3, 4, seed=5)
    rows = np.sort(random(1, 2, 3, 4, seed=6), axis=-1).cumsum(-2)
    target = random(1, 3, 3, 4, seed=7)
    target /= target.sum(1, keepdims=True)
    p, t, tar = tensors(plate, trust, target)
    weights = losses.edge_weights(p)
    return {
        "reconstruction": (lambda x: losses.reconstruction(x, p, lambda y: [3 * y]), above),
        "warp": (lambda x: losses.warp(x, p, t), above),
        "similarity": (lambda x: losses.similarity(p, x), random(1, 1, 3, 4, seed=8)),
        "layer colour": (lambda x: losses.layer(x, p, t), above),
        "layer matte": (lambda x: losses.layer(torch.from_numpy(above), p, x), random(1, 1, 3, 4, seed=9)),
        "mask": (losses.mask, 0.55 + 0.4 * random(1, 2, 3, 4, seed=10)),
        "evidence": (lambda x: losses.evidence(x, tar), random(1, 3, 3, 4, seed=11, low=-2, high=2)),
        "smoothness": (lambda x: losses.smoothness(x, *weights), rows),
    }


@pytest.mark.parametrize("name", smooth_cases())
def test_gradients(name):
    term, at = smooth_cases()[name]
    assert gradcheck(term, (torch.from_numpy(at).requires_grad_(),))
