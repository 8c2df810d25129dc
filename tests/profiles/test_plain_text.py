"""Of a text that people read, something shows, and it stays on one line."""

import unicodedata

import pytest

from edgefleet_profiles.plain_text import odd_character, shows


@pytest.mark.parametrize("text", ["a", " a ", "0", "!", "蓋", "é", "e\u0301", "👩‍🔧", "☎️", "می‌خواهم", "\ue000", "한"])
def test_any_letter_digit_sign_or_picture_shows(text: str) -> None:
    assert shows(text)


@pytest.mark.parametrize(
    "text",
    ["", " ", "\t\n\u2028", "\u3000", "\u200b", "\u200d\u200d", "\ufeff", "\u00ad", "\ufe0f", "\u0301", "\u3164"],
)
def test_blanks_joiners_and_lone_marks_show_nothing(text: str) -> None:
    assert not shows(text)


def test_no_character_that_unicode_calls_a_filler_invisible_or_zero_width_shows() -> None:
    called = {chr(code): unicodedata.name(chr(code), "") for code in range(0x110000)}
    empty = [c for c, name in called.items() if name.startswith(("ZERO WIDTH", "INVISIBLE")) or name.endswith("FILLER")]
    assert len(empty) > 8
    assert [called[one] for one in empty if shows(one)] == []


@pytest.mark.parametrize("text", ["a\nb", "a\x00b", "a\u2028b", "a\u202eb", "a\ud800b"])
def test_what_breaks_or_turns_a_line_is_named(text: str) -> None:
    assert odd_character(text) == f"character 2 of it is {text[1]!a}"
    assert odd_character("one line, 蓋が　壊れている") is None
