"""Labels and notes that operators give to devices."""

from collections.abc import Mapping

from edgefleet_contract.annotations import MAX_NOTE, AnnotationView, NewLabels
from edgefleet_controller.clock import now_ms
from edgefleet_controller.errors import Invalid
from edgefleet_controller.records import Annotation
from edgefleet_controller.store import FleetStore
from edgefleet_controller.store.contract.not_found import stranger
from edgefleet_profiles.plain_text import odd_character, shows
from edgefleet_profiles.selector import PROFILE_LABELS
from edgefleet_protocol.messages import MAX_LABELS


def check_labels(new: NewLabels) -> None:
    """See that a change of labels can be obeyed on any device.

    Raises:
        Invalid: a label is a fact of the profile, or both set and taken away.
    """
    if taken := sorted(PROFILE_LABELS & {*new.set, *new.remove}):
        raise Invalid(f"'{taken[0]}' is a fact of every device and no label of yours: give it another name")
    if both := sorted(new.set.keys() & set(new.remove)):
        raise Invalid(f"'{both[0]}' is both set and taken away: write one of them")


def relabelled(labels: Mapping[str, str], new: NewLabels) -> dict[str, str]:
    """The labels of a device after a change.

    Args:
        labels: what was set before.
        new: what to set, and what to take away if it is there.

    Raises:
        Invalid: there are too many.
    """
    kept = {key: value for key, value in labels.items() if key not in new.remove} | new.set
    if len(kept) > MAX_LABELS:
        raise Invalid(f"that makes {len(kept)} labels, and a device has room for {MAX_LABELS}: take some away first")
    return kept


def plain_note(text: str) -> str:
    """A note without blanks around it.

    Raises:
        Invalid: nothing of it shows, it is too long, or more than one line of plain text.
    """
    note = text.strip()
    if not shows(note):
        raise Invalid("the note is blank: write a text, or clear the note")
    if len(note) > MAX_NOTE:
        raise Invalid(f"the note has {len(note)} characters: write at most {MAX_NOTE}")
    if odd := odd_character(note):
        raise Invalid(f"the note is not plain: {odd}: write one line of plain text")
    return note


def label_device(fleet: FleetStore, device: str, new: NewLabels) -> AnnotationView:
    """Set labels on a device, and take others away that were set before; selectors see it at once.

    Raises:
        NotFound: the device was never added and never reported.
        Invalid: as in `check_labels` and `relabelled`.
    """
    check_labels(new)
    with fleet.transaction():
        before = _written_on(fleet, device)
        labels = relabelled(before.labels, new)
        if labels != before.labels:
            changes = [f"{key}={value}" for key, value in new.set.items() if before.labels.get(key) != value]
            changes += [f"{key}-" for key in new.remove if key in before.labels]
            fleet.annotations.put(device, before.model_copy(update={"labels": labels}))
            fleet.audit.note(now_ms(), "device labelled", device, ", ".join(changes))
        return _view(fleet, device)


def note_device(fleet: FleetStore, device: str, text: str | None) -> AnnotationView:
    """Write a note on a device, in place of the one before; None takes it away.

    Raises:
        NotFound: the device was never added and never reported.
        Invalid: as in `plain_note`.
    """
    note = None if text is None else plain_note(text)
    with fleet.transaction():
        before = _written_on(fleet, device)
        if note != before.note:
            fleet.annotations.put(device, before.model_copy(update={"note": note}))
            fleet.audit.note(now_ms(), "device noted", device, note or "cleared")
        return _view(fleet, device)


def _written_on(fleet: FleetStore, device: str) -> Annotation:
    if fleet.devices.find(device) is None and fleet.devices.admission(device) is None:
        raise stranger(device)
    return fleet.annotations.of(device)


def _view(fleet: FleetStore, device: str) -> AnnotationView:
    written, found = fleet.annotations.of(device), fleet.devices.find(device)
    return AnnotationView(
        device=device,
        set_labels=written.labels,
        reported_labels=found.reported.labels if found else {},
        note=written.note,
    )
