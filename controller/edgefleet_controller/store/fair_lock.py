"""A lock that threads get in the order they ask, so that a busy thread starves no other."""

import threading
from collections import deque
from types import TracebackType

from edgefleet_controller.errors import StoreFault


class FairLock:
    """Reentrant like `threading.RLock`, whose lack of order let a busy writer keep readers waiting for 30 s.

    Args:
        never_within: a lock that a thread may take while it holds this one, but never the other way round.

    Raises:
        StoreFault: the locks were taken the other way round, which can deadlock.
    """

    def __init__(self, never_within: "FairLock | None" = None) -> None:
        self._never_within = never_within
        self._mutex = threading.Lock()
        self._waiting: deque[tuple[int, threading.Lock]] = deque()
        self._owner: int | None = None
        self._depth = 0

    @property
    def is_mine(self) -> bool:
        """Whether this thread holds it."""
        return self._owner == threading.get_ident()

    def __enter__(self) -> None:
        me = threading.get_ident()
        if self._owner != me:  # without a lock: a thread becomes the owner only by asking
            if self._never_within and self._never_within.is_mine:
                raise StoreFault("the telemetry store is used within a transaction of the fleet's store")
            with self._mutex:
                free = self._owner is None
                gate = threading.Lock()
                if free:
                    self._owner = me
                else:
                    gate.acquire()
                    self._waiting.append((me, gate))
            if not free:
                gate.acquire()
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth:
            return
        with self._mutex:
            if not self._waiting:
                self._owner = None
                return
            self._owner, gate = self._waiting.popleft()
            gate.release()


class Turns:
    """The locks of the two stores, which no transaction spans.

    The telemetry store is never used within a transaction of the fleet's store. Within one of telemetry's, the fleet's
    store may be read, but starts no transaction.
    """

    def __init__(self) -> None:
        self.fleet = FairLock()
        self.telemetry = FairLock(never_within=self.fleet)

    def begin(self, lock: FairLock) -> None:
        """Refuse a transaction that would span both.

        Raises:
            StoreFault: it is the fleet's, and this thread holds telemetry's lock.
        """
        if lock is self.fleet and self.telemetry.is_mine:
            raise StoreFault("a transaction of the fleet's store begins within one of telemetry's")
