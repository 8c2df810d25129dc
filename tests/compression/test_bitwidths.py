"""Bits go where they are needed: by kind, or by what fewer of them cost."""

import numpy as np
import pytest

from edgefleet_compression.bitwidths import by_sensitivity
from edgefleet_compression.grid import find_grid, to_grid

WEIGHTS = {"stem": 100, "middle": 1000, "head": 1000}


def losses(**slopes: float) -> dict[str, dict[int, float]]:
    return {layer: {bits: slope * 4.0**-bits for bits in range(2, 9)} for layer, slope in slopes.items()}


def test_a_weight_takes_no_more_bits_than_asked_on_average() -> None:
    bits = by_sensitivity(losses(stem=1, middle=1, head=1), WEIGHTS, 4.0)
    assert sum(bits[layer] * WEIGHTS[layer] for layer in bits) <= 4.0 * sum(WEIGHTS.values())


def test_a_sensitive_layer_keeps_more_bits() -> None:
    bits = by_sensitivity(losses(stem=1000, middle=1, head=1), WEIGHTS, 4.0)
    assert bits["stem"] > bits["middle"]


def test_a_target_below_the_fewest_bits_ends_at_the_fewest() -> None:
    assert set(by_sensitivity(losses(stem=1, middle=1, head=1), WEIGHTS, 1.0).values()) == {2}


@pytest.mark.parametrize("bits", range(2, 9))
def test_a_grid_is_found_again_after_each_channel_was_scaled(bits: int) -> None:
    random = np.random.default_rng(bits)
    integers, scales = to_grid(random.normal(size=(24, 16, 3, 3)).astype(np.float32), bits)
    scales = scales * random.uniform(0.1, 3, 24).astype(np.float32)
    found = find_grid(integers * scales[:, None, None, None])
    assert found is not None
    np.testing.assert_array_equal(found[0], integers)
    np.testing.assert_allclose(found[1], scales, rtol=2**-8)


def test_weights_on_no_grid_are_said_to_be_on_none() -> None:
    assert find_grid(np.random.default_rng(0).normal(size=(24, 9)).astype(np.float32)) is None


def test_a_channel_of_zeros_is_on_every_grid() -> None:
    found = find_grid(np.zeros((2, 9), np.float32))
    assert found is not None and not found[0].any()
