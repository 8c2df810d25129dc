"""Profiles of the catalogue."""

from edgefleet_contract.base import Shape
from edgefleet_profiles.profile import DeviceProfile


class ProfileView(Shape):
    """A profile of the catalogue, with the source of every figure."""

    name: str
    device_class: str
    profile: DeviceProfile

    @classmethod
    def of(cls, profile: DeviceProfile) -> "ProfileView":
        """Show a profile."""
        return cls(name=str(profile), device_class=str(profile.device_class), profile=profile)
