"""The rate of the device's link as it was measured, kept over restarts."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgefleet_agent.files import LateFile
from edgefleet_agent.flow import Flow
from edgefleet_profiles.parts import THIN_CHUNK_BYTES, Link

FILE = "link.json"
MOST_CHUNK_S = 8.0
"""A control message waits behind a chunk; smaller chunks cost more, about a tenth of all bytes at 4 KB."""
WORTH_KEEPING = 0.2
"""How much the rate must have changed, as a share, to be written again: every write wears a memory card."""


class KeptRate(BaseModel):
    """What was measured, on which link; `kbps` is None if it was as fast as the catalogue says."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    link: str
    kbps: float | None = Field(default=None, gt=0)


class MeasuredLink:
    """A link's flow, which begins with the rate that was measured before.

    Args:
        folder: the agent's state folder.
        link: the link; what was measured on another does not count.
    """

    def __init__(self, folder: Path, link: Link) -> None:
        self._path, self._link = folder / FILE, link
        self._kept = _read(self._path)
        if self._kept is not None and self._kept.link != link.name:
            self._kept = None
        self._late: LateFile | None = None
        known = None if self._kept is None else self._kept.kbps or link.down_kbps
        self.flow = Flow(link.down_kbps, known)

    @property
    def max_chunk_bytes(self) -> int:
        """The largest chunk that the link takes: small ones if a large one was found to take too long."""
        measured = self.flow.measured_kbps
        if measured and self._link.chunk_bytes / 125 / measured > MOST_CHUNK_S:
            return THIN_CHUNK_BYTES
        return self._link.chunk_bytes

    def keep(self) -> None:
        """Write the rate if it is known and has changed."""
        if self.flow.rate_kbps is not None and self._is_news(self.flow.measured_kbps):
            kbps = self.flow.measured_kbps
            self._kept = KeptRate(link=self._link.name, kbps=round(kbps, 1) if kbps else None)
            self._late = LateFile(self._path, self._kept.model_dump_json().encode())
        elif self._late and self._late.settle():
            self._late = None

    def _is_news(self, kbps: float | None) -> bool:
        if self._kept is None or (kbps is None) != (self._kept.kbps is None):
            return True
        return bool(kbps and self._kept.kbps and abs(kbps / self._kept.kbps - 1) > WORTH_KEEPING)


def _read(path: Path) -> KeptRate | None:
    try:
        return KeptRate.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
