"""The three parts of a device profile: hardware, link and region."""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgefleet_profiles.description import DescriptionOnly
from edgefleet_profiles.device_class import instruction_set
from edgefleet_profiles.names import Name

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Architecture = Literal["x86_64", "aarch64"]

THIN_LINK_KBPS = 256
GENERIC = "generic-"
CHUNK_BYTES = 48 * 1024
THIN_CHUNK_BYTES = 4 * 1024


class Entry(BaseModel):
    """An entry of the catalogue; every figure names its source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    title: str
    sources: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _every_figure_has_a_source(self) -> "Entry":
        if missing := sorted(self.figures().keys() - self.sources.keys()):
            raise ValueError(f"'{self.name}' gives no source for {', '.join(missing)}: add it under [sources]")
        for figure, source in self.sources.items():
            if not re.match(r"https?://\S+$|estimate:\s*\S", source):
                raise ValueError(
                    f"the source of '{figure}' of '{self.name}' must be an address or 'estimate: <reasoning>'"
                )
        return self

    def figures(self) -> dict[str, float]:
        """The numbers of this entry, by field."""
        return {
            field: value
            for field, value in self.model_dump(exclude={"name", "title", "sources"}).items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }


def is_generic(hardware: str) -> bool:
    """Whether this names a generic class: any machine with one instruction set."""
    return hardware.startswith(GENERIC)


class Hardware(Entry):
    """A kind of board or computer; an entry named `generic-` plus an instruction set stands for any machine with it.

    `isa` holds the flags of /proc/cpuinfo that decide numerics (avx2, avx_vnni, avx512_vnni, asimddp, i8mm);
    `latency_factor` is this hardware's single-thread inference time divided by that of the reference host, an
    x86-64 server core with AVX2; `detect` lists texts in /proc/device-tree/model that identify this board.
    """

    arch: Architecture
    isa: frozenset[str]
    cores: int = Field(gt=0)
    ram_mb: int = Field(gt=0)
    storage_mb: Annotated[int, DescriptionOnly("a device looks at its free disk before it fetches")] = Field(gt=0)
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    idle_w: NotNegative
    active_w: Positive
    latency_factor: Positive
    detect: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _a_generic_class_is_named_for_its_instruction_set(self) -> "Hardware":
        expected = GENERIC + instruction_set(self.arch, self.isa)
        if is_generic(self.name) and self.name != expected:
            raise ValueError(f"'{self.name}' does not match its flags: name it {expected} or correct isa")
        if is_generic(self.name) and self.detect:
            raise ValueError(f"'{self.name}' is a generic class: move detect to an entry for the board")
        return self


class Link(Entry):
    """A kind of network link, seen from the device."""

    down_kbps: Annotated[float, Field(ge=0.1, le=1e9)]  # beyond these, seconds of a transfer are no number
    rtt_ms: Annotated[float, Field(ge=0, le=3.6e6)]
    loss: Annotated[float, Field(ge=0, le=0.99)]
    usd_per_mb: NotNegative
    joule_per_mb: NotNegative
    monthly_cap_mb: Positive | None = None
    metered: bool

    @property
    def chunk_bytes(self) -> int:
        """The largest chunk, in bytes, sent over this link: small on links where a large one would take seconds."""
        return THIN_CHUNK_BYTES if self.down_kbps < THIN_LINK_KBPS else CHUNK_BYTES

    def transfer_s(self, size_bytes: int) -> float:
        """Seconds that `size_bytes` take on this link, including one round trip and retransmissions."""
        return size_bytes * 8 / (self.down_kbps * 1000) / (1 - self.loss) + self.rtt_ms / 1000


Act = Literal["fetch", "switch"]
"""What a device may do only inside a window: fetch a variant, or switch to it."""
ACTS: tuple[Act, ...] = ("fetch", "switch")
DataKind = Literal["counts", "aggregates", "labels"]


class Window(BaseModel):
    """A daily window in the region's local time, in whole minutes after midnight; it may cross midnight."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    from_minute: int = Field(ge=0, lt=1440)
    to_minute: int = Field(ge=0, lt=1440)

    @model_validator(mode="after")
    def _is_neither_empty_nor_the_whole_day(self) -> "Window":
        if self.from_minute == self.to_minute:
            raise ValueError("from_minute equals to_minute: leave the window out for 'at any time', or correct one")
        return self

    def __str__(self) -> str:
        return " to ".join(f"{m // 60:02}:{m % 60:02}" for m in (self.from_minute, self.to_minute))


class Region(Entry):
    """Where devices are: prices, carbon, what data may leave the device, and when they may change.

    Devices fetch variants only inside `delivery_window` and switch only inside `activation_window`; None means at any
    time. A rollback and the end of an aborted rollout wait for neither.
    """

    timezone: str
    usd_per_kwh: NotNegative
    g_co2_per_kwh: NotNegative
    may_leave: frozenset[DataKind]
    delivery_window: Window | None = None
    activation_window: Window | None = None

    def window_to(self, act: Act) -> Window | None:
        """The window for an act; None means at any time."""
        return self.delivery_window if act == "fetch" else self.activation_window
