"""How long each listener of a broadcast has held up the others: pure rules that take `now`.

A device that moves a little at a time is never silent, and yet all others wait for it. So the time in which it is
waited for adds up, over all its turns, and is made good by what it hears. One that has used up the others' patience is
sent what it wants, but is no longer waited for until it has heard enough. Each leaves less patience for the next: of
twenty devices over 600 kbit/s, ten that come and go made the others take 101 s instead of 38 s; now 64 s.
"""

from dataclasses import dataclass, field

EARNED = 3
"""How many seconds of waiting each second of sending makes good: who hears a quarter of the pace is waited for always,
and devices listen at a pace of which they hear two fifths, at least."""
MOST_HALVINGS = 2
"""A slow machine pauses, too: a quarter of the patience is always left."""


@dataclass
class Holding:
    """Seconds in which others waited for a listener, less what it made good, by device."""

    _held_s: dict[str, float] = field(default_factory=dict)
    _lost_patience: int = 0
    _who: str | None = None
    _since: float = 0.0

    def by(self, device: str) -> float:
        """How long this device has held up the others."""
        return self._held_s.get(device, 0.0)

    def patience_s(self, full_s: float) -> float:
        """For how long a device may hold up the others, if the first may for `full_s`."""
        return full_s / (1 << min(self._lost_patience, MOST_HALVINGS))

    def passes_over(self) -> None:
        """A device has used up its patience, and is no longer waited for."""
        self._lost_patience += 1

    def waits_for(self, device: str, now: float) -> None:
        """From now on the others wait for this device."""
        self._who, self._since = device, now

    def ends(self, now: float) -> None:
        """Nobody is waited for, unless `waits_for` says so again."""
        if self._who is not None:
            self._held_s[self._who] = self.by(self._who) + max(0.0, now - self._since)
        self._who = None

    def heard(self, device: str, seconds: float) -> None:
        """A device heard chunks that took so long to send."""
        if device in self._held_s:
            self._held_s[device] -= EARNED * seconds
            if self._held_s[device] <= 0:
                del self._held_s[device]
