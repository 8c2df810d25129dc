"""Devices of the fleet."""

from collections.abc import Iterator

from edgefleet_contract.devices import AddedDevice, AdmissionRecord, DeviceStatus, DeviceView, NewDevice
from edgefleet_contract.pages import Page
from edgefleet_operator.http import BASE, Http, asking, at


class Devices:
    """`client.devices`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def all(
        self, selector: str | None = None, *, status: DeviceStatus | None = None, limit: int | None = None
    ) -> Iterator[DeviceView]:
        """Devices as they last reported themselves, pending ones among them.

        Args:
            selector: only those that it matches, as in region=eu,!metered.
            status: only those.
            limit: at most so many.
        """
        return self._http.items(Page[DeviceView], "/devices", limit, selector=selector, status=status)

    def get(self, device: str) -> DeviceView:
        """A device."""
        return self._http.shape(DeviceView, "GET", at("/devices", device))

    def add(self, profile: str, device: str | None = None) -> AddedDevice:
        """Add a device of a profile; the answer says what to run on it. Without an id one is made."""
        new = asking(NewDevice, profile=profile, id=device)
        return self._http.shape(AddedDevice, "POST", "/devices", body=new)

    def accept(self, device: str) -> DeviceView:
        """Let a pending device in."""
        return self._http.shape(DeviceView, "POST", f"{at('/devices', device)}/accept")

    def remove(self, device: str) -> None:
        """Forget a device wholly; one that reports again is pending."""
        self._http.answer("DELETE", f"{BASE}{at('/devices', device)}")

    def expected(self, limit: int | None = None) -> Iterator[AdmissionRecord]:
        """Devices that were added and have not reported yet."""
        return self._http.items(Page[AdmissionRecord], "/expected-devices", limit)
