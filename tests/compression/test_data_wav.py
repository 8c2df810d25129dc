"""`edgefleet data wav`: recordings become samples of one rate, whole, cut or in steps."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.compression.packing import Packing

RATE = 8_000
SPLITS = ("calib", "val", "test")


@pytest.fixture
def packing(tmp_path: Path) -> Packing:
    return Packing(tmp_path)


def say(path: Path, tone: float, seconds: float, rate: int = RATE, channels: int = 1) -> Path:
    """A tone, as loud in each channel as its number from 1 on tells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.2 * np.sin(2 * np.pi * tone * np.arange(round(seconds * rate)) / rate)
    soundfile.write(path, np.stack([wave * (n + 1) for n in range(channels)], 1), rate)
    return path


def tone_of(sample: np.ndarray, rate: int = RATE) -> float:
    return float(np.fft.rfft(sample.ravel()).__abs__().argmax() * rate / sample.size)


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    """Ten low and ten high tones, each of its own length."""
    for n in range(10):
        say(tmp_path / "tones" / "low" / f"{n}.wav", 200, 0.5 + n / 50)
        say(tmp_path / "tones" / "high" / f"{n}.flac", 1600, 0.5 + n / 50)
    return tmp_path / "tones"


def test_recordings_of_unequal_lengths_stay_whole_and_folders_are_their_labels(packing: Packing, tones: Path) -> None:
    told = packing.packs("wav", tones)
    assert told["classes"] == ["high", "low"]
    values, lengths, labels = (packing.arrays[name] for name in ("x_val/values", "x_val/lengths", "y_val"))
    assert (values.dtype, lengths.sum()) == (np.dtype(np.float32), len(values))
    for sound, label in zip(np.split(values, np.cumsum(lengths)[:-1]), labels, strict=True):
        assert tone_of(sound) == pytest.approx([1600, 200][label], abs=5)


def test_a_length_cuts_or_adds_silence(packing: Packing, tones: Path) -> None:
    packing.types("wav", tones, "--length", "0.6", "--channel", "--type", "int16")
    samples = packing.arrays["x_test"]
    assert (samples.shape[1:], samples.dtype) == ((1, 4800), np.dtype(np.int16))
    assert abs(samples).max() == pytest.approx(0.2 * 32767, rel=0.01)
    assert any((sample[0, -100:] == 0).all() for sample in samples), "some are shorter"


def test_windows_of_one_recording_stay_in_one_split(packing: Packing) -> None:
    for n in range(12):
        say(packing.folder / "long" / f"{n}.wav", 100 * (n + 1), 1.0)
    told = packing.packs("wav", packing.folder / "long", "--window", "0.25", "--hop", "0.125")
    assert sum(split["samples"] for split in told["splits"].values()) == 12 * 7
    heard = [{round(tone_of(x) / 100) for x in packing.arrays[f"x_{name}"]} for name in SPLITS]
    assert sum(map(len, heard)) == len(set.union(*heard)) == 12


def test_steps_make_sequences_for_a_model_with_state(packing: Packing, tones: Path) -> None:
    packing.types("wav", tones, "--step", "256", "--input", "sound")
    values, lengths = packing.arrays["x_val/sound/values"], packing.arrays["x_val/sound/lengths"]
    assert values.shape == (lengths.sum(), 256)
    assert set(lengths.tolist()) <= {-(-round((0.5 + n / 50) * RATE) // 256) for n in range(10)}


def test_other_rates_and_channels_become_one(packing: Packing) -> None:
    for n in range(6):
        say(packing.folder / "mixed" / f"{n}.wav", 300, 0.5 + n / 100, rate=16_000, channels=2)
        say(packing.folder / "mixed" / f"{n + 6}.wav", 300, 0.5 + n / 100, rate=8_000)
    said = packing.types("wav", packing.folder / "mixed", "--length", "0.5", code=1)
    assert "give --rate to have all alike" in said
    packing.types("wav", packing.folder / "mixed", "--length", "0.5", "--rate", "8000")
    samples = packing.arrays["x_test"]
    assert samples.shape[1] == 4000
    assert all(tone_of(sample) == pytest.approx(300, abs=3) for sample in samples)
    loud = np.abs(samples[:, 500:3500]).max(1)
    assert set(loud.round(1)) <= {np.float32(0.2), np.float32(0.3)}, "two channels of 0.2 and 0.4 have a mean of 0.3"


def test_what_is_no_sound_is_named_or_left_out(packing: Packing, tones: Path) -> None:
    (tones / "low" / "notes.wav").write_text("la la la")
    soundfile.write(tones / "low" / "empty.wav", np.zeros(0), RATE)
    say(tones / "high" / "blip.wav", 900, 0.01)
    assert "; --skip leaves out what cannot be read" in packing.types("wav", tones, "--window", "0.1", code=1)
    told = packing.packs("wav", tones, "--window", "0.1", "--skip")
    reasons = {one["name"]: one["reason"] for one in told["left_out"]}
    assert reasons["low/notes.wav"].startswith("low/notes.wav is no sound that can be read")
    assert reasons["low/empty.wav"] == "low/empty.wav is empty"
    assert reasons["high/blip.wav"] == "high/blip.wav is shorter than a window: 0.01 s of 0.1 s"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--length", "1", "--window", "1"), "--length makes one sample of a recording, --window several"),
        (("--hop", "1"), "--hop says how far windows are apart: give --window, too"),
        (("--rate", "0"), "for '--rate': must be at least 1"),
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(
    packing: Packing, tones: Path, words: tuple[str, ...], told: str
) -> None:
    assert told in packing.types("wav", tones, *words, code=2)
