"""Devices, segments and profiles."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from edgefleet_controller.api.dependencies import TheService
from edgefleet_controller.api.pages import Cursor, Limit, Page, page
from edgefleet_controller.api.views import DeviceView
from edgefleet_controller.errors import Invalid, NotFound
from edgefleet_controller.launch import labels, select
from edgefleet_controller.records import DeviceRecord, SegmentRecord
from edgefleet_profiles.errors import ProfileError, SelectorError
from edgefleet_profiles.profile import DeviceProfile
from edgefleet_profiles.selector import compile_selector

router = APIRouter(tags=["fleet"])


class ProfileView(BaseModel):
    """A profile of the catalogue, with the source of every figure."""

    name: str
    device_class: str
    profile: DeviceProfile

    @classmethod
    def of(cls, profile: DeviceProfile) -> "ProfileView":
        """Show a profile."""
        return cls(name=str(profile), device_class=str(profile.device_class), profile=profile)


class SegmentView(SegmentRecord):
    """A segment with its devices counted now."""

    devices: int


def _view(service: TheService, device: DeviceRecord) -> DeviceView:
    generations = {d.model: d.generation for d in service.store.devices.desired(device.id)}
    try:
        device_class: str | None = str(service.catalogue.profile(device.profile).device_class)
    except ProfileError:
        device_class = None
    return DeviceView.of(device, generations, dict(labels(device, service.catalogue)), device_class)


@router.get("/devices")
def list_devices(
    service: TheService, selector: str = "", limit: Limit = 100, cursor: Cursor = None
) -> Page[DeviceView]:
    """Devices that a selector matches, as they last reported themselves."""
    found = select(service.store, service.catalogue, selector)
    return page(found, lambda d: d.id, lambda d: _view(service, d), limit, cursor)


@router.get("/devices/{device}")
def get_device(service: TheService, device: str) -> DeviceView:
    """One device."""
    return _view(service, service.store.devices.get(device))


@router.put("/segments/{name}")
def put_segment(service: TheService, name: str, selector: str) -> SegmentView:
    """Save a named selector."""
    try:
        canonical = str(compile_selector(selector))
        segment = SegmentRecord(name=name, selector=canonical)
    except SelectorError as error:
        raise Invalid(str(error)) from None
    except ValueError:
        raise Invalid(f"'{name}' is no name: small letters, digits, '-' and '_', at most 64") from None
    service.store.devices.put_segment(segment)
    return _segment(service, segment)


@router.get("/segments")
def list_segments(service: TheService, limit: Limit = 100, cursor: Cursor = None) -> Page[SegmentView]:
    """Saved segments."""
    return page(service.store.devices.segments(), lambda s: s.name, lambda s: _segment(service, s), limit, cursor)


@router.get("/segments/{name}")
def get_segment(service: TheService, name: str) -> SegmentView:
    """One segment."""
    return _segment(service, service.store.devices.segment(name))


def _segment(service: TheService, segment: SegmentRecord) -> SegmentView:
    devices = select(service.store, service.catalogue, segment.selector)
    return SegmentView(**segment.model_dump(), devices=len(devices))


@router.get("/profiles")
def list_profiles(service: TheService, limit: Limit = 100, cursor: Cursor = None) -> Page[ProfileView]:
    """Every profile that the catalogue gives."""
    return page(list(service.catalogue.profiles()), str, ProfileView.of, limit, cursor)


@router.get("/profiles/{region}/{hardware}/{link}")
def get_profile(service: TheService, region: str, hardware: str, link: str) -> ProfileView:
    """One profile."""
    try:
        return ProfileView.of(service.catalogue.profile(f"{region}/{hardware}/{link}"))
    except ProfileError as error:
        raise NotFound(str(error)) from None


@router.get("/health")
def health(service: TheService) -> dict[str, Any]:
    """Whether the controller hears the broker, and what it set aside."""
    return {
        "status": "ok" if service.bus.connected else "no broker",
        "broker": service.broker_url,
        "messages": dict(service.ingest.counts),
        "delivered_bytes": service.delivered_bytes(),
        "set_aside": [vars(entry) for entry in list(service.ingest.set_aside)],
    }
