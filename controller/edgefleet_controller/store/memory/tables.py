"""Dictionaries with transactions: changes made in one are undone if it fails."""

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, TypeVar

from edgefleet_controller.store.fair_lock import FairLock

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Absent:
    """Marks the absence of a value."""


_ABSENT = _Absent()


class _Change(NamedTuple):
    """The value of a key before it was changed."""

    table: "Table[Any, Any]"
    key: Hashable
    before: Any


class Changes:
    """The transactions of a store's tables; one thread at a time.

    Args:
        lock: the lock that threads take turns at.
    """

    def __init__(self, lock: FairLock) -> None:
        self.turn = lock
        self._depth = 0
        self._undo: list[_Change] = []
        self._mutex = threading.Lock()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; nests."""
        with self.turn:
            began = len(self._undo)
            self._depth += 1
            try:
                yield
            except BaseException:
                with self._mutex:
                    while len(self._undo) > began:
                        table, key, before = self._undo.pop()
                        table._set(key, before)
                raise
            finally:
                self._depth -= 1
                if not self._depth:
                    with self._mutex:
                        self._undo.clear()

    def committed(self, *tables: "Table[Any, Any]") -> list[dict[Any, Any]]:
        """Copies of tables without the changes of the current transaction, made without waiting for it."""
        with self._mutex:
            found = {id(table): dict(table._rows) for table in tables}
            for table, key, before in reversed(self._undo):
                if (rows := found.get(id(table))) is None:
                    continue
                if before is _ABSENT:
                    rows.pop(key, None)
                else:
                    rows[key] = before
        return [found[id(table)] for table in tables]

    def change(self, table: "Table[Any, Any]", key: Hashable, value: Any) -> None:
        """Set or remove a value, and remember the old one."""
        with self._mutex:
            before = table._set(key, value)
            if self._depth:
                self._undo.append(_Change(table, key, before))


class Table(Generic[K, V]):
    """Values by key; values are never changed, only replaced.

    Args:
        changes: the transactions that the table takes part in.
        by: parts of the key that `where` can search by.
    """

    def __init__(self, changes: Changes, **by: Callable[[K], Hashable]) -> None:
        self._changes, self._by = changes, by
        self._rows: dict[K, V] = {}
        self._found: dict[str, dict[Hashable, dict[K, None]]] = {name: {} for name in by}

    def __contains__(self, key: K) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: K) -> V | None:
        """The value under a key."""
        return self._rows.get(key)

    def items(self) -> list[tuple[K, V]]:
        """All keys and values, in any order."""
        return list(self._rows.items())

    def where(self, part: str, value: Hashable) -> list[K]:
        """The keys in which a part has this value, in any order."""
        return list(self._found[part].get(value, ()))

    def values(self) -> list[V]:
        """All values, in any order."""
        return list(self._rows.values())

    def by_key(self) -> list[V]:
        """All values, in the order of their keys."""
        return [self._rows[key] for key in sorted(self._rows)]  # type: ignore[type-var]

    def values_at(self, keys: Iterable[K]) -> list[V]:
        """The values under these keys, in their order."""
        return [self._rows[key] for key in keys if key in self._rows]

    def put(self, key: K, value: V) -> None:
        """Store a value, replacing any under the same key."""
        self._changes.change(self, key, value)

    def pop(self, key: K) -> V | None:
        """Remove the value under a key."""
        before = self._rows.get(key)
        if before is not None:
            self._changes.change(self, key, _ABSENT)
        return before

    def _set(self, key: K, value: Any) -> Any:
        before: Any = self._rows.get(key, _ABSENT)
        if value is _ABSENT:
            self._rows.pop(key, None)
        else:
            self._rows[key] = value
        if (before is _ABSENT) != (value is _ABSENT):
            self._index(key, there=value is not _ABSENT)
        return before

    def _index(self, key: K, *, there: bool) -> None:
        for name, part in self._by.items():
            found, value = self._found[name], part(key)
            if there:
                found.setdefault(value, {})[key] = None
            else:
                found[value].pop(key)
                if not found[value]:
                    del found[value]


class Counter:
    """A number that only rises, unless a transaction fails."""

    def __init__(self, changes: Changes) -> None:
        self._table: Table[str, int] = Table(changes)

    @property
    def value(self) -> int:
        """The current number."""
        return self._table.get("") or 0

    def next(self) -> int:
        """The next number, from 1."""
        self._table.put("", self.value + 1)
        return self.value
