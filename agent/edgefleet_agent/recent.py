"""The last answers by request id, for labels that come later: small, and bounded whatever clients ask."""

from array import array
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b

MAX_RECENT = 10_000
MAX_ROWS_BYTES = 1024 * 1024
"""What the classes of all these answers take at most: a single request may have thousands of rows."""
MAX_SCOPES = 16
"""More than answer at a time; those that answer no longer must not add up."""
ID_BYTES = 12
"""Enough to tell 10,000 ids apart; an id itself may have 200 characters."""


@dataclass(frozen=True)
class Key:
    """What a window is about."""

    model: str
    model_version: int
    variant: str
    generation: int


@dataclass(frozen=True)
class AnswerScope:
    """What many answers share: who gave them, from how many classes, and the labels' texts by class."""

    key: Key
    of: int
    names: tuple[str, ...]


@dataclass(slots=True)
class _Kept:
    scope: AnswerScope
    packed: bytes
    labelled: bool = False


@dataclass(frozen=True)
class RecentAnswer:
    """One answer: the class of each row; none if the model is not a classifier."""

    scope: AnswerScope
    classes: tuple[int, ...]
    labelled: bool


class RecentAnswers:
    """The last answers; the oldest make room. Not for several threads at once.

    Args:
        at_most: how many.
        rows_bytes: what their classes may take in all; the newest answer is kept whatever it takes.
    """

    def __init__(self, at_most: int = MAX_RECENT, rows_bytes: int = MAX_ROWS_BYTES) -> None:
        self._at_most, self._rows_bytes = at_most, rows_bytes
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._bytes = 0
        self._scopes: dict[Key, AnswerScope] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, request_id: str, key: Key, classes: list[int], of: int, names: tuple[str, ...]) -> None:
        """Keep an answer, in place of an older one with this id.

        Args:
            request_id: the id that a label may name.
            key: who answered.
            classes: the class of each row.
            of: how many classes each row was chosen from.
            names: the labels' texts by class; may be empty.
        """
        scope = self._shared(AnswerScope(key, of, names))
        kept_as = _digest(key.model, request_id)
        self._drop(kept_as)
        self._kept[kept_as] = _Kept(scope, array(_code(of), classes).tobytes())
        self._bytes += len(self._kept[kept_as].packed)
        while len(self._kept) > self._at_most or (self._bytes > self._rows_bytes and len(self._kept) > 1):
            self._drop(next(iter(self._kept)))

    def find(self, model: str, request_id: str) -> RecentAnswer | None:
        """The answer to a request, if it is one of the last."""
        kept = self._kept.get(_digest(model, request_id))
        if kept is None:
            return None
        return RecentAnswer(kept.scope, tuple(array(_code(kept.scope.of), kept.packed)), kept.labelled)

    def mark_labelled(self, model: str, request_id: str) -> None:
        """Note that an answer has had its label: of what it said, nothing is needed any more."""
        kept = self._kept[_digest(model, request_id)]
        self._bytes -= len(kept.packed)
        kept.packed, kept.labelled = b"", True

    def _drop(self, kept_as: bytes) -> None:
        if kept := self._kept.pop(kept_as, None):
            self._bytes -= len(kept.packed)

    def _shared(self, scope: AnswerScope) -> AnswerScope:
        """The one object for equal scopes: the last one of each key is at hand."""
        known = self._scopes.get(scope.key)
        if known == scope:
            return known
        if len(self._scopes) >= MAX_SCOPES:
            self._scopes.clear()
        self._scopes[scope.key] = scope
        return scope


def _code(of: int) -> str:
    """The array code that holds an index of so many classes."""
    return "B" if of <= 2**8 else "H" if of <= 2**16 else "I"


def _digest(model: str, request_id: str) -> bytes:
    return blake2b(f"{model}\0{request_id}".encode(errors="surrogatepass"), digest_size=ID_BYTES).digest()
