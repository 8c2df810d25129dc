"""Profiles of the catalogue."""

from collections.abc import Sequence

from edgefleet_contract.base import Shape
from edgefleet_contract.energy import CoreHourView
from edgefleet_contract.windows import RegionWindowView
from edgefleet_profiles.profile import DeviceProfile


class ProfileView(Shape):
    """A profile of the catalogue, with the source of every figure, and its region's windows if it has any.

    `core_hour` is what an hour of one busy core costs and emits there.
    """

    name: str
    device_class: str
    profile: DeviceProfile
    windows: tuple[RegionWindowView, ...] = ()
    core_hour: CoreHourView | None = None

    @classmethod
    def of(
        cls,
        profile: DeviceProfile,
        windows: Sequence[RegionWindowView] = (),
        core_hour: CoreHourView | None = None,
    ) -> "ProfileView":
        """Show a profile."""
        return cls(
            name=str(profile),
            device_class=str(profile.device_class),
            profile=profile,
            windows=tuple(windows),
            core_hour=core_hour,
        )
