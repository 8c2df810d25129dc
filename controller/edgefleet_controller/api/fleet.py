"""Devices, segments and profiles."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from edgefleet_controller.api.pages import Cursor, Limit, Page, page
from edgefleet_controller.api.service import Owner
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


def _view(owner: Owner, device: DeviceRecord) -> DeviceView:
    generations = {d.model: d.generation for d in owner.store.devices.desired(device.id)}
    try:
        device_class: str | None = str(owner.catalogue.profile(device.profile).device_class)
    except ProfileError:
        device_class = None
    return DeviceView.of(device, generations, dict(labels(device, owner.catalogue)), device_class)


@router.get("/devices")
def list_devices(owner: Owner, selector: str = "", limit: Limit = 100, cursor: Cursor = None) -> Page[DeviceView]:
    """Devices that a selector matches, as they last reported themselves."""
    found = select(owner.store, owner.catalogue, selector)
    return page(found, lambda d: d.id, lambda d: _view(owner, d), limit, cursor)


@router.get("/devices/{device}")
def get_device(owner: Owner, device: str) -> DeviceView:
    """One device."""
    return _view(owner, owner.store.devices.get(device))


@router.put("/segments/{name}")
def put_segment(owner: Owner, name: str, selector: str) -> SegmentView:
    """Save a named selector."""
    try:
        canonical = str(compile_selector(selector))
        segment = SegmentRecord(name=name, selector=canonical)
    except SelectorError as error:
        raise Invalid(str(error)) from None
    except ValueError:
        raise Invalid(f"'{name}' is no name: small letters, digits, '-' and '_', at most 64") from None
    owner.store.devices.put_segment(segment)
    return _segment(owner, segment)


@router.get("/segments")
def list_segments(owner: Owner, limit: Limit = 100, cursor: Cursor = None) -> Page[SegmentView]:
    """Saved segments."""
    return page(owner.store.devices.segments(), lambda s: s.name, lambda s: _segment(owner, s), limit, cursor)


@router.get("/segments/{name}")
def get_segment(owner: Owner, name: str) -> SegmentView:
    """One segment."""
    return _segment(owner, owner.store.devices.segment(name))


def _segment(owner: Owner, segment: SegmentRecord) -> SegmentView:
    devices = select(owner.store, owner.catalogue, segment.selector)
    return SegmentView(**segment.model_dump(), devices=len(devices))


@router.get("/profiles")
def list_profiles(owner: Owner, limit: Limit = 100, cursor: Cursor = None) -> Page[ProfileView]:
    """Every profile that the catalogue gives."""
    return page(list(owner.catalogue.profiles()), str, ProfileView.of, limit, cursor)


@router.get("/profiles/{region}/{hardware}/{link}")
def get_profile(owner: Owner, region: str, hardware: str, link: str) -> ProfileView:
    """One profile."""
    try:
        return ProfileView.of(owner.catalogue.profile(f"{region}/{hardware}/{link}"))
    except ProfileError as error:
        raise NotFound(str(error)) from None


@router.get("/health")
def health(owner: Owner) -> dict[str, Any]:
    """Whether the controller hears the broker, and what it set aside."""
    return {
        "status": "ok" if owner.bus.connected else "no broker",
        "broker": owner.broker_url,
        "messages": dict(owner.ingest.counts),
        "delivered_bytes": owner.delivered_bytes(),
        "set_aside": [vars(entry) for entry in list(owner.ingest.set_aside)],
    }
