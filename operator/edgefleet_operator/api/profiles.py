"""Lists the profiles in the controller's catalogue."""

from collections.abc import Iterator

from edgefleet_contract.pages import Page
from edgefleet_contract.profiles import ProfileView
from edgefleet_operator.http import Http, at_profile


class Profiles:
    """`client.profiles`: region x hardware x link, written `eu/rpi4/lte`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def all(self, limit: int | None = None) -> Iterator[ProfileView]:
        """Iterate over all profiles, at most `limit`."""
        return self._http.items(Page[ProfileView], "/profiles", limit)

    def get(self, profile: str) -> ProfileView:
        """Get a profile."""
        return self._http.shape(ProfileView, "GET", at_profile("/profiles", profile))
