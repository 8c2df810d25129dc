"""The grid of stored weights: few levels, one scale for each output channel, and steady under repetition."""

import numpy as np
import pytest

from edgefleet_compression.grid import layer_kind, to_grid


def weights(seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(0, [[0.1], [1.0], [10.0]], (3, 200)).astype(np.float32)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7, 8])
def test_the_integers_keep_to_their_levels(bits: int) -> None:
    integers, _ = to_grid(weights(), bits)
    assert np.abs(integers).max() == 2 ** (bits - 1) - 1


def test_each_output_channel_has_a_scale_of_its_own() -> None:
    integers, scales = to_grid(weights(), 8)
    error = np.abs(integers * scales[:, None] - weights()).mean(1)
    assert scales[0] < scales[1] < scales[2]
    assert (error < [0.001, 0.01, 0.1]).all()


def test_more_bits_are_nearer() -> None:
    def error(bits: int) -> float:
        integers, scales = to_grid(weights(), bits)
        return float(((integers * scales[:, None] - weights()) ** 2).sum())

    assert error(8) < error(6) < error(4) < error(2)


@pytest.mark.parametrize("bits", [3, 5, 8])
def test_weights_on_the_grid_stay_even_when_a_norm_has_scaled_their_channels(bits: int) -> None:
    integers, scales = to_grid(weights(), bits)
    gains = np.array([[0.37], [-1.9], [1.0]], np.float32)
    again, _ = to_grid((integers * scales[:, None] * gains).astype(np.float32), bits)
    np.testing.assert_array_equal(again, integers * np.sign(gains))


def test_scales_leave_half_of_their_bytes_zero() -> None:
    _, scales = to_grid(weights(), 5)
    assert not (scales.view(np.uint32) & 0xFFFF).any()


def test_a_channel_of_zeros_stays_zero() -> None:
    integers, scales = to_grid(np.zeros((2, 4), np.float32), 4)
    assert not integers.any() and np.isfinite(scales).all()


@pytest.mark.parametrize(
    ("first", "rank", "kernel", "groups", "kind"),
    [(True, 4, 9, 1, "stem"), (False, 4, 9, 1, "dense"), (False, 4, 9, 8, "depthwise"),
     (False, 4, 1, 1, "pointwise"), (False, 2, 1, 1, "linear"), (True, 2, 1, 1, "linear")],
)  # fmt: skip
def test_the_kind_of_a_layer_follows_from_its_place_and_shape(
    first: bool, rank: int, kernel: int, groups: int, kind: str
) -> None:
    assert layer_kind(first=first, rank=rank, kernel=kernel, groups=groups) == kind
