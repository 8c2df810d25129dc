"""Packs recordings: whole, of one length, in windows, or as sequences of steps."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from edgefleet_compression.errors import DataError
from edgefleet_compression.packing.listing import FileList
from edgefleet_compression.packing.origins import PackedSample, SampleOrigin
from edgefleet_compression.packing.words import SoundType

INT16_MOST = 32_767


@dataclass(frozen=True, slots=True)
class SoundForm:
    """What a recording is made into.

    Attributes:
        rate: numbers a second; None keeps the recordings' own, which must then be one.
        length_s: every sample is as long: what is longer is cut, what is shorter gets silence at its end.
        window_s: a recording is cut into samples of this length; what is left at the end is dropped.
        hop_s: how far windows are apart; None is one window.
        step: a sample is a sequence, [steps, step]: so many numbers are asked at a time.
        type: float32 from -1 to 1, or int16.
        channel: whether samples have an axis for their one channel.
    """

    rate: int | None = None
    length_s: float | None = None
    window_s: float | None = None
    hop_s: float | None = None
    step: int | None = None
    type: SoundType = "float32"
    channel: bool = False


class SoundPacker:
    """The recordings of a folder."""

    def __init__(self, files: FileList, form: SoundForm, input_name: str | None = None) -> None:
        """Begin.

        Args:
            files: the recordings.
            form: what each is made into.
            input_name: what the model calls its input.
        """
        self._files, self._form = files, form
        self._rate: tuple[int, str] | None = None
        self.inputs: tuple[str | None, ...] = (input_name,)
        self.origins: tuple[SampleOrigin, ...] = files.origins
        self.classes = files.classes

    def read(self, place: int) -> Iterator[PackedSample]:
        """Read a recording: one sample, or one for each window.

        Raises:
            DataError: it is broken, too short, or of another rate than those before.
        """
        name = self.origins[place].name
        sound, rate = read_sound(self._files.paths[place], name)
        if self._form.rate is not None and rate != self._form.rate:
            sound, rate = _resampled(sound, rate, self._form.rate), self._form.rate
        rate_before, first = self._rate = self._rate or (rate, name)
        if rate != rate_before:
            raise DataError(f"{name} has {rate:,} Hz, and {first} {rate_before:,}: give --rate to have all alike")
        label = self._files.label(place)
        for part in _parts(sound, rate, self._form, name):
            yield PackedSample((_shaped(part, self._form),), label)


def read_sound(path: Path, name: str) -> tuple[NDArray[np.float32], int]:
    """A recording as the mean of its channels, -1 to 1, and its rate in Hz.

    Args:
        path: the file, in any format of libsndfile: WAV, FLAC, OGG, MP3.
        name: what it is called to people.

    Raises:
        DataError: it is none, broken or empty.
    """
    try:
        sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, RuntimeError, TypeError) as error:
        raise DataError(f"{name} is no sound that can be read ({' '.join(str(error).split())})") from None
    if not len(sound):
        raise DataError(f"{name} is empty")
    mono = sound.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise DataError(f"{name} holds numbers that are not finite")
    return mono, int(rate)


def _resampled(sound: NDArray[np.float32], rate: int, wanted: int) -> NDArray[np.float32]:
    import soxr  # only where rates differ

    found: NDArray[np.float32] = soxr.resample(sound, rate, wanted, quality="HQ")
    return found


def _parts(sound: NDArray[np.float32], rate: int, form: SoundForm, name: str) -> Iterator[NDArray[np.float32]]:
    if form.window_s is not None:
        window = _numbers(form.window_s, rate)
        hop = window if form.hop_s is None else _numbers(form.hop_s, rate)
        if len(sound) < window:
            raise DataError(f"{name} is shorter than a window: {len(sound) / rate:.2f} s of {form.window_s:g} s")
        for begin in range(0, len(sound) - window + 1, hop):
            yield sound[begin : begin + window]
        return
    if form.length_s is not None:
        length = _numbers(form.length_s, rate)
        yield _lengthened(sound[:length], length)
        return
    yield sound


def _shaped(sound: NDArray[np.float32], form: SoundForm) -> NDArray[Any]:
    if form.type == "int16":
        numbers: NDArray[Any] = np.rint(np.clip(sound, -1, 1) * INT16_MOST).astype(np.int16)
    else:
        numbers = sound
    if form.step is not None:
        steps = -(-len(numbers) // form.step)
        numbers = _lengthened(numbers, steps * form.step).reshape(steps, form.step)
    return numbers[..., None, :] if form.channel else numbers


def _lengthened(numbers: NDArray[Any], length: int) -> NDArray[Any]:
    """With silence at the end."""
    return np.pad(numbers, (0, length - len(numbers)))


def _numbers(seconds: float, rate: int) -> int:
    return max(round(seconds * rate), 1)
