"""Sequence: tokens in an order, such as letters, words or labels of frames; also texts.

A reduced answer is how many tokens there are, a checksum of all, and the tokens themselves; of more than there is room
for, as many of the first as of the last.
"""

import math
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.intervals import Interval
from edgefleet_protocol.signature import FLOATS, Signature, Tensor
from edgefleet_protocol.spec import Spec, TokenReading
from edgefleet_tasks.arrays import clipped, finite, head, output_at, shown, whole_numbers_in
from edgefleet_tasks.comparing import check_pairs, compared
from edgefleet_tasks.counting import OTHERS, category_of, class_name, commonest, strata_edges, stratum_of
from edgefleet_tasks.editing import edits
from edgefleet_tasks.intervals import SampleWeights, bootstrapped
from edgefleet_tasks.task import UNDECLARED, Measure, Outputs, Refusal, RunComparison

VERSION = 1
ROOM_BYTES = 4072
TOKENS, TOKEN_LOGITS, TEXT = "tokens", "token_logits", "text"
KINDS = (TOKENS, TOKEN_LOGITS, TEXT)
_HEAD = struct.Struct("<BBIIff")
_DTYPES: dict[int, np.dtype[Any]] = {1: np.dtype("u1"), 2: np.dtype("<u2"), 4: np.dtype("<u4")}


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens, maybe without those in the middle: `total` of them, with a checksum of all."""

    kept: tuple[int, ...]
    total: int
    checksum: int
    sure: float = 0.0
    spread: float = 1.0


class SequenceOfTokens:
    """Tokens in an order."""

    name = "sequence"
    measure = Measure("token accuracy")
    headlined = Measure("token error rate", better="lower")
    loss = "cross_entropy"
    reads = frozenset({"read_from", "tokens"})
    scores_alone = True
    reads_all = False

    def fits(self, signature: Signature, spec: Spec) -> Refusal | None:
        """Whether an output is whole numbers [samples, tokens], floats [samples, tokens, vocabulary], or texts."""
        if _place(signature, spec) is None:
            answers = ", ".join(f"{one.datatype} {one.shown}" for one in signature.outputs) or "nothing"
            told = "whole numbers [samples, tokens], floats [samples, tokens, vocabulary], or texts [samples]"
            return Refusal(f"the model answers {answers}: a sequence is {told}")
        if spec.tokens and spec.tokens.lengths >= len(signature.outputs):
            return Refusal(f"output {spec.tokens.lengths} is to say lengths: the model has {len(signature.outputs)}")
        return None

    def spec(self, signature: Signature, val: Iterable[Outputs], declared: Spec = UNDECLARED) -> Spec:
        """Tokens, logits of tokens, or texts; how many tokens there are to choose from."""
        place = _place(signature, declared) or 0
        tensor = signature.outputs[place]
        kind = TEXT if tensor.datatype == "BYTES" else TOKEN_LOGITS if tensor.datatype in FLOATS else TOKENS
        vocabulary = tensor.shape[-1] if kind == TOKEN_LOGITS else 0
        spec = replace(
            declared,
            outputs=declared.outputs if declared.outputs in KINDS else kind,
            read_from=place,
            width=declared.width or len(declared.names) or (vocabulary if isinstance(vocabulary, int) else 0),
        )
        answers = [_read(answer, spec) for outputs in val for answer in self.reduce(outputs, spec)]
        return replace(
            spec,
            strata=declared.strata or strata_edges([one.sure for one in answers]),
            commonest=declared.commonest or commonest(one.kept[0] for one in answers if one.kept),
        )

    def misdeclared(self, signature: Signature, declared: Spec, found: Spec) -> Refusal | None:
        """Texts have no tokens, and a token is one of the vocabulary."""
        if found.outputs == TEXT and declared.tokens is not None:
            return Refusal("tokens: the model answers texts, which have none: leave them out")
        if declared.tokens is not None and found.classes:
            for name in ("blank", "end", "padding"):
                if (token := getattr(declared.tokens, name)) >= found.classes:
                    return Refusal(f"tokens.{name}: {token} is not from 0 to {found.classes - 1}: correct it")
        return None

    def label(self, raw: Any, spec: Spec) -> Tokens:
        """Tokens as whole numbers, or a text where the model answers texts."""
        if spec.outputs == TEXT:
            if not isinstance(raw, str | bytes | np.str_):
                raise ValueError(f"a label is a text; not {shown(raw)}")
            return _tokens(_letters(raw), spec)
        if raw is None or isinstance(raw, str | bytes):
            raise ValueError(f"a label is a list of whole numbers, the tokens; not {shown(raw)}")
        values = whole_numbers_in(raw, "a label")
        if values.ndim != 1:
            raise ValueError(f"a label is a list of whole numbers, the tokens; not {list(values.shape)}")
        if (values < 0).any() or (spec.classes and (values >= spec.classes).any()):
            upper = f"to {spec.classes - 1}" if spec.classes else "on"
            raise ValueError(f"tokens are from 0 {upper}; not {values.min()} to {values.max()}")
        return _tokens(values.tolist(), spec)

    def reduce(self, outputs: Outputs, spec: Spec) -> list[bytes]:
        """The tokens of each sample."""
        values = output_at(outputs, spec.read_from)
        if spec.outputs == TEXT:
            if values.ndim not in (1, 2) or values.size != len(values):
                raise ValueError(f"texts are [samples], not {list(values.shape)}")
            return [_packed(_tokens(_letters(text), spec), spec) for text in values.reshape(-1)]
        if values.ndim != (3 if spec.outputs == TOKEN_LOGITS else 2):
            raise ValueError(f"'{spec.outputs}' of a sequence are {_SHAPES[spec.outputs]}, not {list(values.shape)}")
        lengths = _lengths(outputs, spec, len(values))
        return [_packed(_of_row(finite(values[n])[: lengths[n]], spec), spec) for n in range(len(values))]

    def score(self, answer: bytes, label: Tokens, spec: Spec) -> float:
        """1 less the token error rate, at least 0."""
        found = _read(answer, spec)
        return 1 - min(1.0, _distance(found, label) / max(len(label.kept), 1)) if found.total or label.total else 1.0

    def agree(self, one: bytes, other: bytes, spec: Spec) -> float:
        """1 less the share of the longer one's tokens that must be changed."""
        return _agree(_read(one, spec), _read(other, spec))

    def category(self, answer: bytes, spec: Spec) -> int:
        """The first token; 255 without any."""
        kept = _read(answer, spec).kept
        return category_of(kept[0], spec) if kept else OTHERS

    def category_name(self, category: int, spec: Spec) -> str:
        """The token by its name or number."""
        return class_name(category, spec)

    def stratum(self, answer: bytes, spec: Spec) -> int:
        """How far tokens lie above the next, or without logits how short the sequence is."""
        return stratum_of(_read(answer, spec).sure, spec)

    def headline(self, answers: Sequence[bytes], labels: Sequence[Tokens], spec: Spec) -> Interval:
        """The token error rate: changes for each token of the labels, with a bootstrapped interval."""
        pairs = [(_read(answer, spec), label) for answer, label in zip(answers, labels, strict=True)]
        changes = np.array([_distance(found, label) for found, label in pairs], np.float64)
        wanted = np.array([len(label.kept) for _, label in pairs], np.float64)

        def figure(weights: SampleWeights) -> float:
            total = float(weights @ wanted)
            return float(weights @ changes) / total if total else math.nan

        return bootstrapped(figure, len(pairs))

    def compare(self, found: Sequence[bytes], recorded: Sequence[bytes], spec: Spec) -> RunComparison:
        """How few tokens differ on average and at most, and the factor between the logits."""
        check_pairs(found, recorded)
        return compared(
            [_read(one, spec) for one in found],
            [_read(one, spec) for one in recorded],
            _agree,
            lambda a, b: 1 - _agree(a, b),
            lambda one: one.spread,
        )


TASK = SequenceOfTokens()
_SHAPES = {TOKENS: "[samples, tokens]", TOKEN_LOGITS: "[samples, tokens, vocabulary]"}


def _place(signature: Signature, spec: Spec) -> int | None:
    lengths = spec.tokens.lengths if spec.tokens else -1
    places = [(n, one) for n, one in enumerate(signature.outputs) if n != lengths and _is_sequence(one)]
    if spec.read_from:
        places = [place for place in places if place[0] == spec.read_from]
    return next((n for n, _ in places), None)


def _is_sequence(tensor: Tensor) -> bool:
    rank = len(tensor.shape)
    if tensor.datatype == "BYTES":
        return rank == 1 or (rank == 2 and tensor.shape[1] == 1)
    return rank == 3 if tensor.datatype in FLOATS else rank == 2 and tensor.datatype != "BOOL"


def _letters(text: Any) -> list[int]:
    return list(map(ord, text.decode(errors="replace") if isinstance(text, bytes) else str(text)))


def _lengths(outputs: Outputs, spec: Spec, samples: int) -> list[int]:
    if spec.tokens is None or spec.tokens.lengths < 0:
        return [2**31] * samples
    lengths = finite(output_at(outputs, spec.tokens.lengths)).reshape(-1)
    if len(lengths) != samples:
        raise ValueError(f"output {spec.tokens.lengths} says {len(lengths)} lengths of {samples} sequences")
    return [max(0, int(length)) for length in lengths]


def _of_row(row: NDArray[Any], spec: Spec) -> Tokens:
    """The tokens of a sample: [tokens] as they are, or [tokens, vocabulary] the surest of each."""
    if spec.outputs != TOKEN_LOGITS:
        if row.dtype.kind not in "iu":
            raise ValueError(f"tokens are whole numbers; the model answers {row.dtype}")
        return _tokens(_meant(row.tolist(), spec.tokens), spec)
    if not row.size:
        return _tokens([], spec)
    values = row.astype(np.float64)
    ordered = np.partition(values, -2, axis=-1)[:, -2:] if values.shape[-1] > 1 else np.repeat(values, 2, -1)
    gap = float((ordered[:, 1] - ordered[:, 0]).mean())
    spread = float((ordered[:, 1] - values.mean(-1)).mean())
    return replace(_tokens(_meant(values.argmax(-1).tolist(), spec.tokens), spec), sure=gap, spread=spread)


def _meant(tokens: list[int], reading: TokenReading | None) -> list[int]:
    """Tokens without what stands for none; what is below 0 is padding everywhere."""
    if reading is None:
        return [token for token in tokens if token >= 0]
    if reading.end >= 0 and reading.end in tokens:
        tokens = tokens[: tokens.index(reading.end)]
    if reading.blank >= 0:
        repeated = [n > 0 and tokens[n - 1] == token for n, token in enumerate(tokens)]
        tokens = [token for token, again in zip(tokens, repeated, strict=True) if not again and token != reading.blank]
    return [token for token in tokens if token >= 0 and token != reading.padding]


def _token_bytes(spec: Spec) -> int:
    return 1 if 0 < spec.classes <= 2**8 else 2 if 0 < spec.classes <= 2**16 else 4


def _tokens(tokens: list[int], spec: Spec) -> Tokens:
    """Tokens as a reduced answer keeps them."""
    size = _token_bytes(spec)
    most, limit = ROOM_BYTES // size, 2 ** (8 * size) - 1
    tokens = [min(token, limit) for token in tokens]
    kept = tokens if len(tokens) <= most else tokens[: most // 2] + tokens[-(most // 2) :]
    checksum = zlib.crc32(np.array(tokens, "<u4").tobytes())
    return Tokens(tuple(kept), len(tokens), checksum, sure=-float(len(tokens)))


def _packed(tokens: Tokens, spec: Spec) -> bytes:
    size = _token_bytes(spec)
    sure, spread = clipped(np.array([tokens.sure, tokens.spread])).tolist()
    data: bytes = np.array(tokens.kept, _DTYPES[size]).tobytes()
    return _HEAD.pack(VERSION, size, tokens.total, tokens.checksum, sure, spread) + data


def _read(answer: bytes, spec: Spec) -> Tokens:
    size, total, checksum, sure, spread = head(_HEAD, answer, VERSION, "sequence")
    data = answer[_HEAD.size :]
    most = ROOM_BYTES // size if size in _DTYPES else -1
    kept = total if total <= most else 2 * (most // 2)
    if size != _token_bytes(spec) or len(data) != kept * size or not all(map(math.isfinite, (sure, spread))):
        raise MalformedMessage(f"{len(answer)} bytes are no reduced answer of this sequence")
    return Tokens(tuple(np.frombuffer(data, _DTYPES[size]).tolist()), total, checksum, sure, max(0.0, spread))


def _distance(one: Tokens, other: Tokens) -> float:
    """Changes among the tokens that are kept; for those in the middle only their number and checksum are known."""
    if (one.total, one.checksum) == (other.total, other.checksum) and one.kept == other.kept:
        return 0.0
    found = edits(one.kept, other.kept)
    if len(one.kept) < one.total or len(other.kept) < other.total:
        kept = max(len(one.kept), len(other.kept))
        found += round(kept * abs(one.total - other.total) / max(one.total, other.total))
    return float(max(found, 1))


def _agree(one: Tokens, other: Tokens) -> float:
    longer = max(len(one.kept), len(other.kept))
    return 1 - min(1.0, _distance(one, other) / longer) if longer else 1.0
