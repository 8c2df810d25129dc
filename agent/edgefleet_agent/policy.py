"""What may leave the device: the one filter that telemetry windows pass before they are spooled or sent. Pure."""

from collections.abc import Collection
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edgefleet_protocol.leaving import ALWAYS, LeavesAs
from edgefleet_protocol.messages import TelemetryWindow

P = TypeVar("P", bound=BaseModel)


def permitted(window: TelemetryWindow, may_leave: Collection[str]) -> TelemetryWindow | None:
    """Copy what may leave into a new window; None if nothing is left to report.

    A field passes, as a whole, only if it declares a kind (`LeavesAs`) that the region permits. A field of any other
    kind stays on the device, and so does one without a declaration; if that has fields of its own, each is checked.

    Args:
        window: what was measured.
        may_leave: the kinds that the region lets leave; a kind that no field has lets nothing through.
    """
    left, told = _left(window, may_leave)
    return left if told else None


def declared(field: FieldInfo) -> LeavesAs | None:
    """What a field is declared as."""
    return next((mark for mark in field.metadata if isinstance(mark, LeavesAs)), None)


def _left(part: P, may_leave: Collection[str]) -> tuple[P, bool]:
    """The part with its permitted fields, the others as when nothing was counted; and whether it tells anything."""
    kept: dict[str, Any] = {}
    tells = False
    for name, field in type(part).model_fields.items():
        value, mark = getattr(part, name), declared(field)
        if mark is None:
            if isinstance(value, BaseModel):
                inner, inner_tells = _left(value, may_leave)
                if inner_tells:
                    kept[name], tells = inner, True
        elif mark == ALWAYS:
            kept[name] = value
        elif mark.kind in may_leave:
            kept[name] = value
            tells |= value != field.get_default(call_default_factory=True)
    return type(part).model_construct(**kept), tells
