"""The spool: telemetry windows wait on the disk until the controller says that it has stored them."""

import sqlite3
from pathlib import Path

from edgefleet_agent.failpoints import reach
from edgefleet_protocol.messages import TelemetryWindow

MAX_WINDOWS = 10_000
MAX_IN_FLIGHT = 32


class Spool:
    """A bounded queue in `spool.db`; its numbers rise for ever, also over restarts.

    Beyond its bound the oldest windows are dropped and counted. Used by one thread.

    Args:
        folder: the state folder.
        incarnation: the device's, stamped on every window.
        resend_s: seconds after which a window that was not acknowledged is sent again.
    """

    def __init__(self, folder: Path, incarnation: str, resend_s: float = 30.0, max_windows: int = MAX_WINDOWS) -> None:
        self._incarnation, self._resend_s, self._max_windows = incarnation, resend_s, max_windows
        self._sent: dict[int, float] = {}
        self._lost = 0
        self._db = sqlite3.connect(folder / "spool.db", isolation_level=None)
        # FULL: a number that was sent once must never come back with another content after a power cut.
        self._db.executescript(
            """
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = FULL;
            CREATE TABLE IF NOT EXISTS windows (seq INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL);
            CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
            INSERT OR IGNORE INTO counts VALUES ('dropped', 0);
            """
        )

    def add(self, window: TelemetryWindow) -> int | None:
        """Keep a window; gives its number, or None when the disk takes no more: then it is lost and counted."""
        try:
            return self._insert(window)
        except sqlite3.OperationalError:
            self._lost += 1
            return None

    def _insert(self, window: TelemetryWindow) -> int:
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            body = window.model_dump_json(exclude_none=True)
            seq = int(self._db.execute("INSERT INTO windows (body) VALUES (?)", [body]).lastrowid or 0)
            excess = self._db.execute("DELETE FROM windows WHERE seq <= ?", [seq - self._max_windows]).rowcount
            excess += self._drop_beyond_bound()
            self._db.execute("UPDATE counts SET value = value + ? WHERE name = 'dropped'", [excess])
            reach("window_inserted")
        reach("window_spooled")
        return seq

    def _drop_beyond_bound(self) -> int:
        over = len(self) - self._max_windows
        if over <= 0:
            return 0
        oldest = "SELECT seq FROM windows ORDER BY seq LIMIT ?"
        return self._db.execute(f"DELETE FROM windows WHERE seq IN ({oldest})", [over]).rowcount  # noqa: S608

    def due(self, now_s: float) -> list[TelemetryWindow]:
        """The windows to send now, oldest first, at most 32 in flight; they count as sent.

        Args:
            now_s: the monotonic clock, in seconds.
        """
        rows = self._db.execute("SELECT seq, body FROM windows ORDER BY seq LIMIT ?", [MAX_IN_FLIGHT]).fetchall()
        if not rows:
            return []
        due = [(seq, body) for seq, body in rows if now_s - self._sent.get(seq, -1e9) >= self._resend_s]
        self._sent = {seq: self._sent[seq] for seq, _ in rows if seq in self._sent} | {seq: now_s for seq, _ in due}
        stamp = {"incarnation": self._incarnation, "first_kept_seq": rows[0][0]}
        return [TelemetryWindow.model_validate_json(body).model_copy(update=stamp | {"seq": seq}) for seq, body in due]

    def forget_sent(self) -> None:
        """What is in flight may be lost, the connection is: send it again at the next one."""
        self._sent.clear()

    def acked(self, incarnation: str, through: int) -> None:
        """The controller has stored everything of `incarnation` up to and including number `through`."""
        if incarnation == self._incarnation:
            reach("acked")
            self._db.execute("DELETE FROM windows WHERE seq <= ?", [through])
            reach("window_forgotten")

    @property
    def dropped(self) -> int:
        """How many windows were lost for want of room, ever."""
        return int(self._db.execute("SELECT value FROM counts WHERE name = 'dropped'").fetchone()[0]) + self._lost

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM windows").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()
