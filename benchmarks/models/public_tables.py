"""Public models of rows and signals: trees, and networks for recordings of the brain and of traffic lights."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.models.packages import Pinned, Shelf
from benchmarks.models.public_model import FEW, MadeSamples, MadeSplit, PublicModel, SampleMaker

ATSPM = Pinned("atspm-detector", "1.1.0", "59f724aa551c5bbaa51004802597314c062ae77fbf03f2fa62df9ac54004d1fc")
BRAINMAZE = Pinned("brainmaze-eeg-models", "0.1.0", "25ec131ac5ed39cf8032a07cc22f5744f13a589f45b10885726e096e41e1d104")
EEG_SAMPLES, BANDS = 7500, 15


def _rows(columns: int) -> SampleMaker:
    def make(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
        made = MadeSamples()
        for _ in range(count):
            made.add(X=random.gamma(1.0, random.uniform(0.1, 10.0), columns))
        return made

    return make


def _recordings(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    """Thirty seconds of noise with bursts, and how strong it is in each of fifteen bands."""
    made = MadeSamples()
    for _ in range(count):
        signal = _with_bursts(random)
        bands = np.stack([_smooth(np.abs(signal - _smooth(signal, 3 + n)), 25) for n in range(BANDS)])
        spread = bands.std(axis=-1, keepdims=True)
        made.add(
            raw_signal=((signal - signal.mean()) / signal.std()).astype(np.float32)[None],
            spectrogram=((bands - bands.mean(axis=-1, keepdims=True)) / spread).astype(np.float32),
        )
    return made


def _with_bursts(random: np.random.Generator) -> NDArray[np.float64]:
    signal = np.cumsum(random.normal(0, 1, EEG_SAMPLES)) * 0.1 + random.normal(0, 1, EEG_SAMPLES)
    for start in random.integers(0, EEG_SAMPLES - 400, int(random.integers(0, 5))):
        length = int(random.integers(150, 400))
        burst = np.sin(2 * np.pi * random.uniform(11, 15) * np.arange(length) / 250) * np.hanning(length)
        signal[start : start + length] += 4 * burst
    return signal


def _smooth(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    return np.convolve(values, np.ones(width) / width, "same")


def _bands_over_time(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    made = MadeSamples()
    for _ in range(count):
        made.add(x=random.normal(0, 1, (100, 120)).astype(np.float32))
    return made


def _pairs(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    made = MadeSamples()
    for _ in range(count):
        made.add(x=(random.random((15, 400)) < random.uniform(0.05, 0.5)).astype(np.float32))
    return made


MODELS = (
    PublicModel(
        "atspm-decode",
        ATSPM,
        "atspm_detector/weights/decode_v3.onnx",
        "regression",
        "synthetic",
        "rows of numbers",
        _rows(25),
        'task = "regression"\n',
    ),
    PublicModel(
        "atspm-phase",
        ATSPM,
        "atspm_detector/weights/phase_lgbm_v5_s0.onnx",
        "regression",
        "synthetic",
        "rows of numbers",
        _rows(261),
        'task = "regression"\n',
    ),
    PublicModel(
        "atspm-pair",
        ATSPM,
        "atspm_detector/weights/funcnet/x100_w32full_pair.onnx",
        "outputs",
        "synthetic",
        "switching signals",
        _pairs,
        'task = "outputs"\n',
        FEW,
    ),
    PublicModel(
        "eeg-spindles",
        BRAINMAZE,
        "brainmaze_eeg_models/spindles/_models/spindle-detector-eeg.onnx",
        "outputs",
        "synthetic",
        "noise with bursts",
        _recordings,
        'task = "outputs"\n',
        FEW,
    ),
    PublicModel(
        "eeg-seizures",
        BRAINMAZE,
        "brainmaze_eeg_models/seizure/_models/modelA_paper.onnx",
        "sequence",
        "synthetic",
        "noise",
        _bands_over_time,
        'task = "sequence"\n',
        FEW,
    ),
)
