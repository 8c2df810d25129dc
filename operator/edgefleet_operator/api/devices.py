"""Lists, adds, accepts, labels and removes devices."""

from collections.abc import Iterator, Mapping, Sequence

from edgefleet_contract.annotations import AnnotationView, NewLabels, NewNote
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

    def label(
        self, device: str, labels: Mapping[str, str] | None = None, *, remove: Sequence[str] = ()
    ) -> AnnotationView:
        """Set labels on a device that has reported or was added, and take others away that were set before.

        A label set here counts before one that the device reports under the same key.

        Args:
            device: its id.
            labels: labels to set.
            remove: keys of labels to take away; one that was not set is no error.
        """
        with refusing():
            new = NewLabels(set=dict(labels or {}), remove=tuple(remove))
        return self._http.shape(AnnotationView, "POST", f"{at('/devices', device)}/labels", body=new)

    def note(self, device: str, text: str | None) -> AnnotationView:
        """Write a note on a device, one line of plain text in place of the one before; None takes it away."""
        with refusing():
            new = NewNote(text=text)
        return self._http.shape(AnnotationView, "PUT", f"{at('/devices', device)}/note", body=new)

    def remove(self, device: str) -> None:
        """Forget everything about a device; if it reports again, it is pending."""
        self._http.answer("DELETE", f"{BASE}{at('/devices', device)}")

    def expected(self, limit: int | None = None) -> Iterator[AdmissionRecord]:
        """Iterate over added devices that have not reported yet."""
        return self._http.items(Page[AdmissionRecord], "/expected-devices", limit)
