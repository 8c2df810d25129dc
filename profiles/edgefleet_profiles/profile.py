"""A device profile, region x hardware x link, and what a variant must meet there."""

from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgefleet_profiles.device_class import DeviceClass, device_class
from edgefleet_profiles.parts import Hardware, Link, NotNegative, Positive, Region


class DeviceProfile(BaseModel):
    """Region x hardware x link, written `eu/rpi4/lte`."""

    model_config = ConfigDict(frozen=True)

    region: Region
    hardware: Hardware
    link: Link

    def __str__(self) -> str:
        return f"{self.region.name}/{self.hardware.name}/{self.link.name}"

    @property
    def device_class(self) -> DeviceClass:
        """The class that this profile's hardware belongs to."""
        hw = self.hardware
        return device_class(hw.arch, hw.isa, hw.providers, hw.ram_mb)


Preference = Literal["accuracy", "score", "agreement", "p95_ms", "delivery_bytes", "mj_per_inference", "usd_per_month"]


class Constraints(BaseModel):
    """What a variant must meet on the profiles that `profile` matches, and what to prefer among those that do.

    `profile` is a pattern over `region/hardware/link` with `*`. `min_score` is by the task's measure, and
    `min_accuracy` is its older name; `max_drop` is how much of it may be lost against the source model (0.01 is one
    point), and `max_disagreement` how far answers may differ from the source model's. `transfer_s`, `transfer_j` and
    `delivery_bytes` are per delivery; `usd_per_month` is the cost of the data of `transfers_per_month` deliveries. What
    `inferences_per_month` draw is priced at the region's `usd_per_kwh`, and what they emit at `usd_per_tonne_co2`:
    `running_usd_per_month` bounds both together, and `g_co2_per_month` the emission. `prefer = "usd_per_month"` picks
    the least of data and running, and "accuracy" or "score" the best by the task's measure. None means no constraint.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Annotated[str, Field(pattern=r"^[a-z0-9_*-]+/[a-z0-9_*-]+/[a-z0-9_*-]+$")] = "*/*/*"
    min_accuracy: Annotated[float, Field(ge=0, le=1)] | None = None
    min_score: Annotated[float, Field(ge=0, le=1)] | None = None
    max_drop: Annotated[float, Field(ge=0, le=1)] | None = None
    max_disagreement: Annotated[float, Field(ge=0, le=1)] | None = None
    p95_ms: Positive | None = None
    transfer_s: Positive | None = None
    transfer_j: Positive | None = None
    usd_per_month: NotNegative | None = None
    transfers_per_month: Positive = 1.0
    delivery_bytes: Annotated[int, Field(gt=0)] | None = None
    ram_mb: Positive | None = None
    mj_per_inference: NotNegative | None = None
    inferences_per_month: NotNegative | None = None
    usd_per_tonne_co2: NotNegative = 0.0
    running_usd_per_month: NotNegative | None = None
    g_co2_per_month: NotNegative | None = None
    prefer: Preference = "accuracy"

    @model_validator(mode="after")
    def _what_inferences_cost_needs_their_number(self) -> "Constraints":
        given = {
            "usd_per_tonne_co2": self.usd_per_tonne_co2 > 0,
            "running_usd_per_month": self.running_usd_per_month is not None,
            "g_co2_per_month": self.g_co2_per_month is not None,
        }
        if self.inferences_per_month is None and any(given.values()):
            named = " and ".join(name for name, is_given in given.items() if is_given)
            raise ValueError(f"{named} cannot be judged without inferences_per_month: say how many a device answers")
        return self

    @model_validator(mode="after")
    def _has_one_least_score(self) -> "Constraints":
        if self.min_score is not None and self.min_accuracy is not None:
            raise ValueError("min_accuracy and min_score are one limit: give one of them")
        return self

    @property
    def least_score(self) -> float | None:
        """The least score asked, by either name."""
        return self.min_accuracy if self.min_score is None else self.min_score

    @property
    def least_score_is(self) -> Literal["min_accuracy", "min_score"]:
        """The name by which a least score is asked."""
        return "min_accuracy" if self.min_score is None else "min_score"

    def matches(self, profile: str) -> bool:
        """Whether these constraints apply to `profile`, written `region/hardware/link`."""
        wanted, given = self.profile.split("/"), profile.split("/")
        return len(given) == 3 and all(map(fnmatchcase, given, wanted))


def constraints_for(profile: str, table: list[Constraints]) -> Constraints:
    """The constraints of a profile: the last entry of `table` that matches; without a match, no constraints."""
    return next((c for c in reversed(table) if c.matches(profile)), Constraints())
