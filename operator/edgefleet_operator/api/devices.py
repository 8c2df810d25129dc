"""Lists, adds, accepts and removes devices."""

from collections.abc import Iterator

from edgefleet_contract.devices import AddedDevice, AdmissionRecord, DeviceStatus, DeviceView, NewDevice
from edgefleet_contract.pages import Page
from edgefleet_operator.http import BASE, Http, at, refusing


class Devices:
    """`client.devices`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def all(
        self, selector: str | None = None, *, status: DeviceStatus | None = None, limit: int | None = None
    ) -> Iterator[DeviceView]:
        """Iterate over the devices as last reported, pending ones included.

        Args:
            selector: only devices that it matches, for example region=eu,!metered.
            status: only devices with this status.
            limit: how many at most; None means all.
        """
        return self._http.items(Page[DeviceView], "/devices", limit, selector=selector, status=status)

    def get(self, device: str) -> DeviceView:
        """Get a device."""
        return self._http.shape(DeviceView, "GET", at("/devices", device))

    def add(self, profile: str, device: str | None = None) -> AddedDevice:
        """Add a device of a profile; the answer has the command to run on it. Without an id, it gets a new one."""
        with refusing():
            new = NewDevice(profile=profile, id=device)
        return self._http.shape(AddedDevice, "POST", "/devices", body=new)

    def accept(self, device: str) -> DeviceView:
        """Accept a pending device."""
        return self._http.shape(DeviceView, "POST", f"{at('/devices', device)}/accept")

    def remove(self, device: str) -> None:
        """Forget everything about a device; if it reports again, it is pending."""
        self._http.answer("DELETE", f"{BASE}{at('/devices', device)}")

    def expected(self, limit: int | None = None) -> Iterator[AdmissionRecord]:
        """Iterate over added devices that have not reported yet."""
        return self._http.items(Page[AdmissionRecord], "/expected-devices", limit)
