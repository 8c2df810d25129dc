"""Which labels and notes operators may give to a device."""

import pytest

from edgefleet_contract.annotations import MAX_NOTE, NewLabels
from edgefleet_controller.errors import Invalid, NotFound
from edgefleet_controller.fleet.annotating import check_labels, label_device, note_device, plain_note, relabelled
from edgefleet_controller.fleet.joining import add_device
from edgefleet_controller.store import Store
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_profiles.selector import PROFILE_LABELS


def test_labels_are_set_changed_and_taken_away_and_others_stay() -> None:
    before = {"site": "oslo", "row": "3", "tier": "lab"}
    assert relabelled(before, NewLabels(set={"row": "4", "new": "x"}, remove=("tier", "never-set"))) == {
        "site": "oslo",
        "row": "4",
        "new": "x",
    }
    assert before["row"] == "3"


@pytest.mark.parametrize("fact", sorted(PROFILE_LABELS))
@pytest.mark.parametrize("how", ["set", "remove"])
def test_a_fact_of_the_profile_is_no_label(fact: str, how: str) -> None:
    new = NewLabels(set={fact: "x"}) if how == "set" else NewLabels(remove=(fact,))
    with pytest.raises(Invalid, match=f"'{fact}' is a fact of every device"):
        check_labels(new)


def test_what_is_set_and_taken_away_at_once_or_too_much_is_refused() -> None:
    with pytest.raises(Invalid, match="'site' is both set and taken away"):
        check_labels(NewLabels(set={"site": "oslo"}, remove=("site",)))
    full = {f"k{n}": "x" for n in range(64)}
    with pytest.raises(Invalid, match="makes 65 labels, and a device has room for 64"):
        relabelled(full, NewLabels(set={"one-more": "x"}))
    assert len(relabelled(full, NewLabels(set={"one-more": "x"}, remove=("k0",)))) == 64


@pytest.mark.parametrize(
    "text", ["the lid is broken", "蓋が　壊れている", "[red]x[/red] 👩‍🔧 é", "می‌خواهم", "a" * MAX_NOTE]
)
def test_a_note_is_any_line_of_plain_text(text: str) -> None:
    assert plain_note(f"  {text}\n") == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "blank"),
        (" \t\n", "blank"),
        ("\u200b", "blank"),
        ("\u200d\ufe0f\u00ad\u2060", "blank"),
        ("\u3164\u2800", "blank"),
        ("\u0301", "blank"),
        ("a" * (MAX_NOTE + 1), "1001 characters: write at most 1000"),
        ("two\nlines", r"the note is not plain: character 4 of it is '\\n'"),
        ("a\x1b[31mred", r"character 2 of it is '\\x1b'"),
        ("a\x00b", "character 2"),
        ("a\u2028b", "character 2"),
        ("a\u202eb", "character 2"),
        ("a\ud800b", "character 2"),
    ],
)
def test_a_note_that_is_blank_long_or_not_plain_is_refused(text: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        plain_note(text)


def test_a_device_is_written_on_once_it_was_added_and_each_change_leaves_one_line(store: Store) -> None:
    with pytest.raises(NotFound, match="never added and never reported"):
        label_device(store.fleet, "d", NewLabels(set={"site": "oslo"}))
    with pytest.raises(NotFound, match="never added and never reported"):
        note_device(store.fleet, "d", "x")
    add_device(store.fleet, load_catalogue(), "eu/rpi4/lte", "d")
    for _ in range(2):
        label_device(store.fleet, "d", NewLabels(set={"site": "oslo", "row": "3"}))
        note_device(store.fleet, "d", "behind the door")
    shown = label_device(store.fleet, "d", NewLabels(set={"site": "oslo"}, remove=("row", "never-set")))
    assert (shown.set_labels, shown.reported_labels, shown.note) == ({"site": "oslo"}, {}, "behind the door")
    note_device(store.fleet, "d", None)
    assert [(what, detail) for _, what, detail in store.fleet.audit.of("d")] == [
        ("device added", "eu/rpi4/lte"),
        ("device labelled", "site=oslo, row=3"),
        ("device noted", "behind the door"),
        ("device labelled", "row-"),
        ("device noted", "cleared"),
    ]
