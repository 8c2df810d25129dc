"""Recordings of packages, tones, and the features that models of sound take."""

import io
import wave

import numpy as np
from numpy.typing import NDArray

from benchmarks.models.packages import Pinned, Shelf
from benchmarks.models.sources import MOONSHINE, PIPECAT

RATE = 16_000
Sound = NDArray[np.float32]
DIGITS = tuple("0123456789")


def speech(shelf: Shelf) -> Sound:
    """Ten seconds of somebody reading, 16 kHz, from -1 to 1."""
    return _recording(shelf, MOONSHINE, "moonshine_onnx/assets/beckett.wav")


def dialled(shelf: Shelf, digit: str) -> Sound:
    """The tones of a telephone's key, 16 kHz."""
    return _recording(shelf, PIPECAT, f"pipecat/audio/dtmf/dtmf-{digit}.wav")


def excerpt(sound: Sound, length: int, random: np.random.Generator) -> Sound:
    """Some of it from anywhere, at any loudness, from the beginning again where it ends."""
    start = int(random.integers(0, len(sound)))
    found = np.resize(np.roll(sound, -start), length)
    return np.asarray(found * random.uniform(0.3, 1.0), np.float32)


def noisy(sound: Sound, random: np.random.Generator, least_db: float = 0.0, most_db: float = 40.0) -> Sound:
    """With noise at some ratio between two, in decibels."""
    ratio = 10 ** (random.uniform(least_db, most_db) / 20)
    level = float(np.sqrt(np.mean(np.square(sound)))) / ratio
    return np.asarray(np.clip(sound + random.normal(0, max(level, 1e-6), len(sound)), -1, 1), np.float32)


def resampled(sound: Sound, rate: int, to_rate: int) -> Sound:
    """At another rate, by straight lines between samples."""
    count = int(len(sound) * to_rate / rate)
    return np.asarray(np.interp(np.arange(count) * rate / to_rate, np.arange(len(sound)), sound), np.float32)


def spectrum(sound: Sound, window: int, hop: int, bins: int, periodic: bool = True) -> NDArray[np.float64]:
    """The magnitudes of each frame, [frames, bins // 2 + 1]."""
    frames = 1 + max(0, len(sound) - window) // hop
    shape = np.hanning(window + 1)[:-1] if periodic else np.hanning(window)
    cut = np.stack([sound[n * hop : n * hop + window] for n in range(frames)]) * shape
    return np.asarray(np.abs(np.fft.rfft(cut, n=bins)), np.float64)


def mel_bands(bins: int, bands: int, rate: int = RATE) -> NDArray[np.float64]:
    """Triangles that lie evenly on the mel scale (HTK), [bins // 2 + 1, bands]."""
    most = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, most, bands + 2) / 2595) - 1)
    at = np.linspace(0, rate / 2, bins // 2 + 1)[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    return np.asarray(np.clip(np.minimum((at - low) / (middle - low), (high - at) / (high - middle)), 0, None))


def mel_spectrum(sound: Sound, window: int, hop: int, bins: int, bands: int) -> NDArray[np.float64]:
    """The power in each band, [frames, bands]."""
    return np.asarray(np.square(spectrum(sound, window, hop, bins)) @ mel_bands(bins, bands))


def _recording(shelf: Shelf, package: Pinned, member: str) -> Sound:
    with wave.open(io.BytesIO(shelf.read(package, member))) as file:
        data = file.readframes(file.getnframes())
        values: Sound = (np.frombuffer(data, np.int16) / 32768).astype(np.float32)
        return values if file.getframerate() == RATE else resampled(values, file.getframerate(), RATE)
