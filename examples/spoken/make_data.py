"""Make sequences of sounds with a spoken digit in each, and write the samples that this example ships with.

    git clone https://github.com/Jakobovski/free-spoken-digit-dataset
    python -m examples.spoken.make_data --source free-spoken-digit-dataset/recordings

A sequence is a digit said by one of six people, with a moment of faint noise before and after it, as a microphone hears
it that is always on. It is cut into steps of 32 ms; each step is 40 numbers: how loud 20 bands are, in two halves, in
decibels. The label of a step is "nothing" until the word has ended, and the digit from then on.

Recordings 0 to 4 of each person and digit are `test`, as the data set says; 5 to 9 are `val`, the others `train`, of
which `calib` is a part. The same source gives the same bytes.
"""

import argparse
import wave
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SEED = 2026
RATE = 8_000
WINDOW, HOP, BANDS = 200, 128, 20
STEP_HOPS = 2
FEATURES = BANDS * STEP_HOPS
LEAD_STEPS, TAIL_STEPS = (3, 10), (6, 10)
"""From and up to how many steps of noise are around a word."""
NOISE_DB = (-60.0, -40.0)
"""How loud noise is, against the loudest sound there can be."""
ROUND_DB = 0.5
NOTHING = 0
NAMES = ("nothing", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COMMITTED = {"calib": 48, "val": 150, "test": 200}

Sound = NDArray[np.float32]


@dataclass(frozen=True)
class Word:
    """A recording, -1 to 1 at 8,000 Hz, and the digit that is said."""

    sound: Sound
    digit: int


def words(source: Path) -> dict[str, list[Word]]:
    """All recordings by split, in the order of their names."""
    found: dict[str, list[Word]] = {"train": [], "val": [], "test": []}
    paths = sorted(source.glob("[0-9]_*_*.wav"))
    if not paths:
        raise SystemExit(f"{source} has no recordings: give the folder 'recordings' of the data set")
    for path in paths:
        digit, _, number = path.stem.split("_")
        split = "test" if int(number) < 5 else "val" if int(number) < 10 else "train"
        found[split].append(Word(_read(path), int(digit)))
    return found


def _read(path: Path) -> Sound:
    with wave.open(str(path)) as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE, 1, 2):
            raise SystemExit(f"{path} is not of one channel with 16 bits at {RATE} Hz: take the data set as it is")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32_768


def sequence(word: Word, random: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """A word with noise around it: features float32 [steps, 40], and a label for each step."""
    step = HOP * STEP_HOPS
    lead, tail = (int(random.integers(least, most + 1)) * step for least, most in (LEAD_STEPS, TAIL_STEPS))
    sound = np.concatenate([np.zeros(lead, np.float32), word.sound, np.zeros(tail, np.float32)])
    loudness = 10 ** (random.uniform(*NOISE_DB) / 20)
    sound = sound + loudness * random.standard_normal(len(sound)).astype(np.float32)
    steps = len(sound) // step
    labels = np.full(steps, NOTHING, np.int64)
    labels[-(-(lead + len(word.sound)) // step) :] = word.digit + 1
    return features(sound)[:steps], labels


def features(sound: Sound) -> NDArray[np.float32]:
    """How loud each band of each step is, in decibels: float32 [steps, 40]."""
    steps = len(sound) // (HOP * STEP_HOPS)
    padded = np.concatenate([np.zeros(WINDOW - HOP, np.float32), sound])
    starts = np.arange(steps * STEP_HOPS)[:, None] * HOP
    windows = padded[starts + np.arange(WINDOW)] * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(windows, 256)) ** 2
    loud = 10 * np.log10(power @ _bands().T + 1e-6)
    return (np.rint(loud / ROUND_DB) * ROUND_DB).astype(np.float32).reshape(steps, FEATURES)


@cache
def _bands() -> NDArray[np.float64]:
    """Triangles that are evenly far apart for the ear (mel): [20, 129]."""
    mel = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    at = np.linspace(0, RATE / 2, 129)
    rising = (at - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - at) / (edges[2:] - edges[1:-1])[:, None]
    found: NDArray[np.float64] = np.clip(np.minimum(rising, falling), 0, None)
    return found


def main() -> None:
    """Write data.npz beside this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="the folder 'recordings' of the data set")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data.npz")
    args = parser.parse_args()
    splits = words(args.source)
    arrays: dict[str, NDArray[np.generic]] = {}
    for number, (name, count) in enumerate(COMMITTED.items()):
        random = np.random.default_rng(SEED + number)
        all_words = splits["train" if name == "calib" else name]
        made = [sequence(all_words[place], random) for place in random.permutation(len(all_words))[:count]]
        lengths = np.array([len(x) for x, _ in made], np.int64)
        arrays[f"x_{name}/values"], arrays[f"x_{name}/lengths"] = np.concatenate([x for x, _ in made]), lengths
        arrays[f"y_{name}/values"], arrays[f"y_{name}/lengths"] = np.concatenate([y for _, y in made]), lengths
    np.savez_compressed(args.out, **arrays)  # type: ignore[arg-type]
    print(f"{args.out}: {args.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
