"""Profiles of the catalogue."""

from collections.abc import Sequence

from edgefleet_contract.base import Shape
from edgefleet_contract.windows import RegionWindowView
from edgefleet_profiles.profile import DeviceProfile


class ProfileView(Shape):
    """A profile of the catalogue, with the source of every figure, and its region's windows if it has any."""

    name: str
    device_class: str
    profile: DeviceProfile
    windows: tuple[RegionWindowView, ...] = ()

    @classmethod
    def of(cls, profile: DeviceProfile, windows: Sequence[RegionWindowView] = ()) -> "ProfileView":
        """Show a profile."""
        given = tuple(windows)
        return cls(name=str(profile), device_class=str(profile.device_class), profile=profile, windows=given)
