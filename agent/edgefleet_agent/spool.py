"""The spool: telemetry windows wait on the disk until the controller acknowledges that they are stored."""

import logging
import sqlite3
from collections import deque
from collections.abc import Collection
from pathlib import Path

from pydantic import ValidationError

from edgefleet_agent.failpoints import reach
from edgefleet_agent.policy import permitted
from edgefleet_protocol.messages import TelemetryWindow

log = logging.getLogger("edgefleet.agent")

MAX_WINDOWS = 10_000
MAX_IN_MEMORY = 1_000
"""Windows that may wait for a full disk: sixteen hours of one model, two or three MB."""
MAX_IN_FLIGHT = 32
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS windows (seq INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT OR IGNORE INTO counts VALUES ('dropped', 0);
"""


class Spool:
    """A bounded queue in `spool.db`; its numbers rise forever, across restarts.

    Beyond its bound it drops and counts the oldest windows. While the disk cannot be written, windows wait in memory,
    unnumbered and unsent, and acknowledgements are remembered: a number that was sent must never come back with other
    content. A bad disk raises nothing here. Used by one thread.

    Every window passes the region's data policy twice: before it is kept, and before it is sent, since an earlier start
    of the agent may have kept it in another region. One of which nothing may leave any more is dropped and counted.

    A damaged file is set aside as `spool.db.broken`, and its numbers are lost with it: `lost` says so, and windows wait
    in memory until `begin_anew`.

    Args:
        folder: the state folder.
        incarnation: the device's, stamped on every window.
        may_leave: the kinds of data that the region lets leave the device.
        resend_s: seconds until an unacknowledged window is sent again.
        max_windows: how many may wait on the disk.
        max_in_memory: how many may wait for the disk.
        patience_s: how long to wait for another program that locks the file, in seconds.
        expected: whether an earlier start of this incarnation may have used numbers.
    """

    def __init__(
        self,
        folder: Path,
        incarnation: str,
        may_leave: Collection[str],
        resend_s: float = 30.0,
        max_windows: int = MAX_WINDOWS,
        max_in_memory: int = MAX_IN_MEMORY,
        patience_s: float = 1.0,
        expected: bool = False,
    ) -> None:
        self._path, self._incarnation, self._resend_s = folder / "spool.db", incarnation, resend_s
        self._may_leave = may_leave
        self._max_windows, self._max_in_memory, self._patience_s = max_windows, max_in_memory, patience_s
        self._sent: dict[int, float] = {}
        self._in_memory: deque[TelemetryWindow] = deque()
        self._on_disk = self._dropped = self._lost = self._acked = self._found = 0
        self._db: sqlite3.Connection | None = None
        self.trouble: str | None = None
        """Why the disk cannot be written; None while it can."""
        self.lost: str | None = None
        """Why the numbers used so far are unknown; None while they are known."""
        if expected and not self._path.exists():
            self.lost = "spool.db is gone, and the numbers used so far with it"
        self.settle()

    def add(self, window: TelemetryWindow) -> int | None:
        """Keep what may leave of a window; returns its number, or None if it waits in memory for the disk."""
        if (left := permitted(window, self._may_leave)) is None:
            return None
        self._in_memory.append(left)
        while len(self._in_memory) > self._max_in_memory:
            self._in_memory.popleft()
            self._lost += 1
        return self.settle()

    def settle(self) -> int | None:
        """Write what waits in memory; returns the number of the last window written."""
        seq = None
        try:
            self._forget_acked()
            while self._in_memory:
                seq = self._insert(self._in_memory[0])
                self._in_memory.popleft()
        except sqlite3.DatabaseError as error:
            self._troubled(error)
            return None
        if self.trouble:
            log.warning("the telemetry spool can be written again")
            self.trouble = None
        return seq

    def due(self, now_s: float) -> list[TelemetryWindow]:
        """The windows to send now, oldest first, at most 32 in flight; marks them as sent.

        Args:
            now_s: the monotonic clock, in seconds.
        """
        try:
            db = self._opened()
            query = "SELECT seq, body FROM windows WHERE seq > ? ORDER BY seq LIMIT ?"
            rows = {seq: self._leaving(body) for seq, body in db.execute(query, [self._acked, MAX_IN_FLIGHT])}
            for seq in [seq for seq, window in rows.items() if window is None]:
                db.execute("DELETE FROM windows WHERE seq = ?", [seq])
                self._on_disk, self._lost = self._on_disk - 1, self._lost + 1
        except sqlite3.DatabaseError as error:
            self._troubled(error)
            return []
        here = {seq: window for seq, window in rows.items() if window}
        due = [seq for seq in here if now_s - self._sent.get(seq, -1e9) >= self._resend_s]
        self._sent = {seq: self._sent[seq] for seq in here if seq in self._sent} | dict.fromkeys(due, now_s)
        stamp = {"incarnation": self._incarnation, "first_kept_seq": min(here, default=0)}
        return [here[seq].model_copy(update=stamp | {"seq": seq}) for seq in due]

    def forget_sent(self) -> None:
        """The connection is lost, and maybe the windows in flight: send them again on the next one."""
        self._sent.clear()

    def acked(self, incarnation: str, through: int) -> None:
        """The controller has stored everything of `incarnation` up to and including number `through`."""
        if incarnation != self._incarnation:
            return
        reach("acked")
        try:
            last = self._opened().execute("SELECT max(seq) FROM windows").fetchone()[0] or 0
            self._acked = max(self._acked, min(through, last))
            self._forget_acked()
        except sqlite3.DatabaseError as error:
            self._troubled(error)
        reach("window_forgotten")

    def begin_anew(self, incarnation: str, through: int) -> None:
        """Continue under another incarnation, since another agent uses the current one, too.

        Windows from before this start whose numbers are stored belonged to that agent as well, and are stored. Those
        recorded since are ours, whatever their numbers, and follow under the new incarnation.
        """
        self.lost = None
        try:
            self._opened()
            self._acked = max(self._acked, min(through, self._found))
            self._forget_acked()
        except sqlite3.DatabaseError as error:
            self._troubled(error)
        self._incarnation = incarnation
        self.forget_sent()

    @property
    def dropped(self) -> int:
        """How many windows were ever lost: for lack of room, to damage, or to a data policy that became stricter."""
        return self._dropped + self._lost

    def __len__(self) -> int:
        return self._on_disk + len(self._in_memory)

    def close(self) -> None:
        """Close the file."""
        if self._db:
            self._db.close()

    def _opened(self) -> sqlite3.Connection:
        """The file, opened if it is not yet."""
        if self.lost:
            raise sqlite3.OperationalError(self.lost)
        if self._db is None:
            db = sqlite3.connect(self._path, timeout=self._patience_s, isolation_level=None)
            try:
                db.executescript(SCHEMA)
                self._dropped = int(db.execute("SELECT value FROM counts WHERE name = 'dropped'").fetchone()[0])
                self._on_disk = _count(db)
                self._found = int(db.execute("SELECT coalesce(max(seq), 0) FROM windows").fetchone()[0])
            except sqlite3.Error:
                db.close()
                raise
            self._db = db
        return self._db

    def _insert(self, window: TelemetryWindow) -> int:
        db = self._opened()
        with db:
            db.execute("BEGIN IMMEDIATE")
            body = window.model_dump_json(exclude_none=True)
            seq = int(db.execute("INSERT INTO windows (body) VALUES (?)", [body]).lastrowid or 0)
            over = max(_count(db) - self._max_windows, 0)
            oldest = "SELECT seq FROM windows ORDER BY seq LIMIT ?"
            excess = db.execute(f"DELETE FROM windows WHERE seq IN ({oldest})", [over]).rowcount  # noqa: S608
            dropped = self._dropped + self._lost + excess
            db.execute("UPDATE counts SET value = ? WHERE name = 'dropped'", [dropped])
            on_disk = _count(db)
            reach("window_inserted")
        reach("window_spooled")
        self._dropped, self._lost, self._on_disk = dropped, 0, on_disk
        return seq

    def _leaving(self, body: str) -> TelemetryWindow | None:
        """What may leave of a window that was kept; None if that is nothing, or the window cannot be read."""
        window = _window(body)
        return permitted(window, self._may_leave) if window else None

    def _forget_acked(self) -> None:
        db = self._opened()
        if self._acked:
            db.execute("DELETE FROM windows WHERE seq <= ?", [self._acked])
            self._acked, self._on_disk = 0, _count(db)

    def _troubled(self, error: sqlite3.DatabaseError) -> None:
        if self.lost:
            return
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED and self._set_aside():
            self.lost = f"spool.db is damaged ({error}) and was set aside as spool.db.broken"
            return
        if self.trouble is None:
            log.error("the telemetry spool cannot be written: %s; windows wait in memory", error)
        self.trouble = str(error)

    def _set_aside(self) -> bool:
        """Set the file aside and count its windows as lost, as far as they are known."""
        self.close()
        self._db = None
        try:
            for suffix in ("-wal", "-shm", ""):  # the file itself last: while it exists, no new one starts at 1
                path = self._path.with_name(f"{self._path.name}{suffix}")
                if path.exists():
                    path.replace(path.with_name(f"{self._path.name}.broken{suffix}"))
        except OSError:
            return False
        self._lost += self._dropped + self._on_disk
        self._dropped = self._on_disk = self._acked = self._found = 0
        self.forget_sent()
        return True


def _window(body: str) -> TelemetryWindow | None:
    """A window from its text; None if bits have rotted, which SQLite does not notice."""
    try:
        return TelemetryWindow.model_validate_json(body)
    except ValidationError:
        return None


def _count(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM windows").fetchone()[0])
