"""How devices join the fleet and leave it."""

import logging
import secrets
import shlex

from edgefleet_contract.devices import AdmissionRecord
from edgefleet_controller.clock import now_ms
from edgefleet_controller.errors import Invalid, Refused, StoreError
from edgefleet_controller.failpoints import reach
from edgefleet_controller.fleet.desired_publisher import DesiredPublisher
from edgefleet_controller.fleet.following import follow_up
from edgefleet_controller.records import DeviceRecord
from edgefleet_controller.store import FleetStore, Store
from edgefleet_controller.store.contract.not_found import stranger
from edgefleet_controller.trouble import log_failure
from edgefleet_profiles.catalogue import Catalogue
from edgefleet_profiles.errors import ProfileError
from edgefleet_profiles.profile import DeviceProfile
from edgefleet_protocol.broker_address import parse_brokers

log = logging.getLogger(__name__)

PASSWORD_FILE = "edgefleet.password"  # noqa: S105 - the name of a file
CA_FILE = "edgefleet-ca.pem"


def add_device(fleet: FleetStore, catalogue: Catalogue, profile: str, device: str | None) -> tuple[str, DeviceProfile]:
    """Add a device to the fleet, before or after its first report.

    Args:
        fleet: the fleet's store.
        catalogue: the catalogue of the profile's parts.
        profile: the device's profile, such as `eu/rpi4/lte`.
        device: the device's id; None generates one.

    Returns:
        The device's id and its profile.

    Raises:
        Invalid: no such profile.
        Refused: the id was added with another profile.
    """
    try:
        found = catalogue.profile(profile)
    except ProfileError as error:
        raise Invalid(str(error)) from None
    name = device or f"{found.hardware.name}-{secrets.token_hex(3)}"
    with fleet.transaction():
        known = fleet.devices.admission(name)
        if known and known.profile not in (None, profile):
            raise Refused(f"{name} was added as {known.profile}: choose another id, or remove that device first")
        now = now_ms()
        fleet.devices.admit(known or AdmissionRecord(device=name, profile=profile, accepted_ms=now))
        if known is None:
            fleet.audit.note(now, "device added", name, profile)
    return name, found


def accept_device(fleet: FleetStore, device: str) -> DeviceRecord:
    """Accept a pending device into the fleet, or one that was added as another profile, as what it reports.

    Nothing changes if it was accepted before as what it is.

    Raises:
        NotFound: the device never reported.
    """
    with fleet.transaction():
        found = fleet.devices.get(device)
        if found.status == "pending" or found.added_as not in (None, found.profile):
            now = now_ms()
            fleet.devices.admit(AdmissionRecord(device=device, accepted_ms=now))
            fleet.audit.note(now, "device accepted", device, f"as {found.profile}")
        return fleet.devices.get(device)


def forget_device(store: Store, desired: DesiredPublisher, device: str) -> None:
    """Remove a device: what it reported, its desired state, and the message that the broker retains for it.

    Raises:
        NotFound: the device was never added and never reported.
    """
    now = now_ms()
    with store.fleet.transaction():
        if not store.fleet.devices.forget(device, now):
            raise stranger(device)
        store.fleet.follow_ups.remove(device)
        store.fleet.audit.note(now, "device removed", device)
        # Before COMMIT: a kill in between leaves a device that is told again, rather than one that cannot be removed.
        desired.forget(device)
        reach("device_removed")
    reach("device_forgotten")
    try:
        follow_up(store)
    except StoreError as error:
        # The device is removed; its telemetry follows once the disk allows, before anything new is stored.
        log_failure(log, error, f"the telemetry of {device} is still there")


def join_command(device: str, profile: DeviceProfile, broker_url: str, username: str | None) -> str:
    """The command to run on a device; passwords and certificates are named as files, never given inline."""
    words = ["edgefleet-agent", "run", "--state", "edgefleet-agent", "--device", device, "--broker", broker_url]
    words += ["--region", profile.region.name, "--hardware", profile.hardware.name, "--link", profile.link.name]
    if username:
        words += ["--username", username, "--password-file", PASSWORD_FILE]
    if any(address.tls for address in parse_brokers(broker_url)):
        words += ["--ca-file", CA_FILE]
    return shlex.join(words)
