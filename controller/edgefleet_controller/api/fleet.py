"""Devices, segments and profiles."""

import socket
from dataclasses import dataclass, replace

from fastapi import APIRouter, Request, Response

from edgefleet_contract.annotations import AnnotationView, NewLabels, NewNote
from edgefleet_contract.base import NameText, SelectorText, SomeSelectorText
from edgefleet_contract.devices import AddedDevice, AdmissionRecord, ConflictRecord, DeviceStatus, DeviceView, NewDevice
from edgefleet_contract.pages import Page
from edgefleet_contract.profiles import ProfileView
from edgefleet_contract.segments import SegmentRecord, SegmentView
from edgefleet_controller.api.dependencies import TheService
from edgefleet_controller.api.pages import Cursor, PageLimit, page
from edgefleet_controller.api.problem import problems
from edgefleet_controller.api.showing import device_view
from edgefleet_controller.api.windows import window_views
from edgefleet_controller.clock import now_ms
from edgefleet_controller.errors import Invalid, NotFound
from edgefleet_controller.fleet.annotating import label_device, note_device
from edgefleet_controller.fleet.joining import accept_device, add_device, forget_device, join_command
from edgefleet_controller.fleet.selection import labels, select
from edgefleet_controller.models.costs import core_hour
from edgefleet_controller.records import DeviceRecord
from edgefleet_controller.rollouts.likeness import class_of, unlike
from edgefleet_controller.rollouts.matching import Matcher
from edgefleet_controller.store import FleetStore
from edgefleet_profiles.catalogue import Catalogue
from edgefleet_profiles.errors import ProfileError, SelectorError
from edgefleet_profiles.profile import DeviceProfile
from edgefleet_profiles.selector import compile_selector
from edgefleet_protocol.broker_address import parse_brokers

router = APIRouter(tags=["fleet"])


@dataclass(frozen=True)
class _Known:
    """A device in the fleet's store, read in one transaction."""

    device: DeviceRecord
    generations: dict[str, int]
    conflict: ConflictRecord | None


def _known(fleet: FleetStore, device: DeviceRecord) -> _Known:
    generations = {d.model: d.generation for d in fleet.desired.of(device.id)}
    return _Known(device, generations, fleet.conflicts.find(device.id))


def _view(service: TheService, device: DeviceRecord) -> DeviceView:
    return _show(service, _known(service.store.fleet, device), service.store.telemetry.windows.lost(device.id))


def _show(service: TheService, known: _Known, lost_windows: int) -> DeviceView:
    device = known.device
    return device_view(
        device,
        known.generations,
        dict(labels(device, service.catalogue)),
        _class_named(device, service.catalogue),
        unlike=unlike(device, service.catalogue),
        conflict=known.conflict,
        lost_windows=lost_windows,
    )


def _class_named(device: DeviceRecord, catalogue: Catalogue) -> str | None:
    found = class_of(device, catalogue)
    return str(found) if found else None


@router.get("/devices")
def list_devices(
    service: TheService,
    selector: SelectorText = "",
    status: DeviceStatus | None = None,
    limit: PageLimit = 100,
    cursor: Cursor = None,
) -> Page[DeviceView]:
    """Devices that a selector matches, including pending ones, as they last reported themselves."""
    store = service.store
    with store.fleet.transaction():  # one transaction for the whole page
        found = select(store.fleet, service.catalogue, selector, status, after=cursor or "", at_most=limit + 1)
        known = [_known(store.fleet, record) for member in found if (record := store.fleet.devices.find(member.id))]
    lost = store.telemetry.windows.lost_by(one.device.id for one in known)
    return page(known, lambda k: k.device.id, lambda k: _show(service, k, lost.get(k.device.id, 0)), limit, cursor)


@router.post("/devices", status_code=201, responses=problems(400, 409, 413))
def post_device(service: TheService, request: Request, new: NewDevice) -> AddedDevice:
    """Add a device; returns the command to run on it."""
    device, profile = add_device(service.store.fleet, service.catalogue, new.profile, new.id)
    broker_url = _reachable(service.access.url, request.url.hostname)
    command = join_command(device, profile, broker_url, service.access.device_username)
    return AddedDevice(id=device, profile=new.profile, command=command)


@router.get("/expected-devices")
def list_expected(service: TheService, limit: PageLimit = 100, cursor: Cursor = None) -> Page[AdmissionRecord]:
    """Devices that were added but have not reported yet."""
    return page(service.store.fleet.devices.expected(), lambda a: a.device, lambda a: a, limit, cursor)


@router.post("/devices/{device}/accept", responses=problems(404))
def post_accept(service: TheService, device: str) -> DeviceView:
    """Accept a pending device; accepting it again changes nothing."""
    return _view(service, accept_device(service.store.fleet, device))


@router.post("/devices/{device}/labels", responses=problems(400, 404, 413))
def post_labels(service: TheService, device: str, new: NewLabels) -> AnnotationView:
    """Set labels on a device that has reported or was added, and take others away that were set before."""
    return label_device(service.store.fleet, device, new)


@router.put("/devices/{device}/note", responses=problems(400, 404, 413))
def put_note(service: TheService, device: str, new: NewNote) -> AnnotationView:
    """Write a note on a device, in place of the one before; null takes it away."""
    return note_device(service.store.fleet, device, new.text)


@router.delete("/devices/{device}", status_code=204, responses=problems(404))
def delete_device(service: TheService, device: str) -> Response:
    """Remove a device and all its data; if it reports again, it is pending."""
    forget_device(service.store, service.desired, device)
    return Response(status_code=204)


def _reachable(broker_url: str, asked: str | None) -> str:
    """The broker's address for other machines: a wildcard becomes the host name that the caller used."""
    local = asked in (None, "localhost", "127.0.0.1", "::1", "0.0.0.0")  # noqa: S104 - compared, not bound
    host = socket.gethostname() if local else str(asked)
    wild = ("0.0.0.0", "::")  # noqa: S104
    found = parse_brokers(broker_url)
    return ",".join(str(replace(one, host=host) if one.host in wild else one) for one in found)


@router.get("/devices/{device}", responses=problems(404))
def get_device(service: TheService, device: str) -> DeviceView:
    """One device."""
    return _view(service, service.store.fleet.devices.get(device))


@router.put("/segments/{name}")
def put_segment(service: TheService, name: NameText, selector: SomeSelectorText) -> SegmentView:
    """Save a named selector."""
    try:
        canonical = str(compile_selector(selector))
        if not canonical:
            raise Invalid("the selector is blank: name the devices, for example region=eu")
        segment = SegmentRecord(name=name, selector=canonical)
    except SelectorError as error:
        raise Invalid(str(error)) from None
    except ValueError:
        raise Invalid(f"'{name}' is not a name: use lower-case letters, digits, '-' and '_', at most 64") from None
    service.store.fleet.segments.put(segment)
    return _doubted(service, segment)


@router.get("/segments")
def list_segments(service: TheService, limit: PageLimit = 100, cursor: Cursor = None) -> Page[SegmentView]:
    """Saved segments."""
    return page(service.store.fleet.segments.all(), lambda s: s.name, lambda s: _segment(service, s), limit, cursor)


@router.get("/segments/{name}", responses=problems(404))
def get_segment(service: TheService, name: str) -> SegmentView:
    """One segment."""
    return _doubted(service, service.store.fleet.segments.get(name))


@router.delete("/segments/{name}", status_code=204, responses=problems(404))
def delete_segment(service: TheService, name: str) -> Response:
    """Forget a segment; its devices, and rollouts that were started for it, stay as they are."""
    service.store.fleet.segments.remove(name)
    return Response(status_code=204)


def _doubted(service: TheService, segment: SegmentRecord) -> SegmentView:
    doubts = Matcher(service.catalogue, segment.selector).doubts(service.store.fleet.members.all(status=None))
    return _segment(service, segment).model_copy(update={"doubts": doubts})


def _segment(service: TheService, segment: SegmentRecord) -> SegmentView:
    devices = select(service.store.fleet, service.catalogue, segment.selector)
    return SegmentView(**segment.model_dump(), devices=len(devices))


@router.get("/profiles")
def list_profiles(service: TheService, limit: PageLimit = 100, cursor: Cursor = None) -> Page[ProfileView]:
    """All profiles of the catalogue."""
    return page(list(service.catalogue.profiles()), str, lambda one: _profile(service, one), limit, cursor)


@router.get("/profiles/{region}/{hardware}/{link}", responses=problems(404))
def get_profile(service: TheService, region: str, hardware: str, link: str) -> ProfileView:
    """One profile."""
    try:
        return _profile(service, service.catalogue.profile(f"{region}/{hardware}/{link}"))
    except ProfileError as error:
        raise NotFound(str(error)) from None


def _profile(service: TheService, profile: DeviceProfile) -> ProfileView:
    return ProfileView.of(profile, window_views(service.windows, [str(profile)], now_ms()), core_hour(profile))
