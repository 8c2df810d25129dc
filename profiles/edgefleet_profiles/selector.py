"""Label selectors with the syntax and meaning of Kubernetes, compiled once and matched per device."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NoReturn

from edgefleet_profiles.errors import SelectorError
from edgefleet_profiles.names import NAME_PATTERN
from edgefleet_profiles.parts import Hardware, Link, Region

Operator = Literal["in", "notin", "exists", "absent"]

PROFILE_LABELS = frozenset({"region", "hardware", "link", "metered"})
SHOWN = 40
"""How many characters of a selector to show on either side of an error."""
_TOKEN = re.compile(r"==|!=|[=!(),]|[^\s=!(),]+")
_NAME = re.compile(NAME_PATTERN)
_EQUALITY: dict[str, Operator] = {"=": "in", "==": "in", "!=": "notin"}
_SETS: dict[str, Operator] = {"in": "in", "notin": "notin"}


@dataclass(frozen=True)
class Requirement:
    """One condition on one label; `values` is empty if only presence matters."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet the condition; as in Kubernetes, an absent label is "not in" any set."""
        if self.operator == "exists":
            return self.key in labels
        if self.operator == "absent":
            return self.key not in labels
        return (labels.get(self.key) in self.values) == (self.operator == "in")

    def __str__(self) -> str:
        if self.operator == "exists":
            return self.key
        if self.operator == "absent":
            return f"!{self.key}"
        if len(self.values) == 1:
            return f"{self.key}{'=' if self.operator == 'in' else '!='}{self.values[0]}"
        return f"{self.key} {self.operator} ({','.join(self.values)})"


@dataclass(frozen=True)
class Selector:
    """Conditions that must all hold; an empty selector matches every device. `str()` is the canonical text."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a device with these labels is in the segment."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


def compile_selector(text: str) -> Selector:
    """Parse a selector such as `region=eu,hardware in (rpi4,rpi5),!metered`; the empty text matches all.

    Selectors that differ only in order, repetition, spacing or spelling (`==` for `=`) compile to equal values.

    Raises:
        SelectorError: the text is not a selector; the message names the column.
    """
    return _Parser(text).selector()


def labels_of(region: Region, hardware: Hardware, link: Link, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The labels of a device: those from its profile, and its own.

    Args:
        region: gives `region`.
        hardware: gives `hardware`.
        link: gives `link`, and `metered` (with the value "true") only where the link is metered.
        extra: the device's own labels; any that the profile gives are ignored here, so that a device cannot
            claim a region other than the one it is priced for.
    """
    labels = {key: value for key, value in (extra or {}).items() if key not in PROFILE_LABELS}
    labels |= {"region": region.name, "hardware": hardware.name, "link": link.name}
    return labels | ({"metered": "true"} if link.metered else {})


class _Parser:
    """Recursive descent over tokens; `in` and `notin` are operators only where an operator is allowed."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [(m.group(), m.start()) for m in _TOKEN.finditer(text)] + [("", len(text))]
        self._at = 0

    def selector(self) -> Selector:
        found: set[Requirement] = set()
        if self._peek():
            found.add(self._requirement())
            while self._peek():
                self._expect(",", "',' or the end")
                found.add(self._requirement())
        return Selector(tuple(sorted(found, key=lambda r: (r.key, r.operator, r.values))))

    def _requirement(self) -> Requirement:
        if self._peek() == "!":
            self._next()
            return Requirement(self._name("a label"), "absent")
        key = self._name("a label or '!'")
        operator = self._peek()
        if operator in ("", ","):
            return Requirement(key, "exists")
        if operator in _EQUALITY:
            self._next()
            return Requirement(key, _EQUALITY[operator], (self._name("a value"),))
        if operator not in _SETS:
            self._fail("'=', '!=', 'in', 'notin', ',' or the end")
        self._next()
        return Requirement(key, _SETS[operator], self._set())

    def _set(self) -> tuple[str, ...]:
        self._expect("(", "'('")
        values = {self._name("a value")}
        while self._peek() != ")":
            self._expect(",", "',' or ')'")
            values.add(self._name("a value"))
        self._next()
        return tuple(sorted(values))

    def _name(self, wanted: str) -> str:
        if not _NAME.match(self._peek()):
            self._fail(f"{wanted} (lower-case letters, digits, '-' and '_', at most 64)")
        return self._next()

    def _expect(self, token: str, wanted: str) -> None:
        if self._next() != token:
            self._at -= 1
            self._fail(wanted)

    def _peek(self) -> str:
        return self._tokens[self._at][0]

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1][0]

    def _fail(self, wanted: str) -> NoReturn:
        token, column = self._tokens[self._at]
        found = f"'{token}'" if token else "the end"
        before, after = self._text[max(column - SHOWN, 0) : column], self._text[column : column + SHOWN]
        raise SelectorError(
            f"selector, column {column + 1}: expected {wanted}, found {found[:SHOWN]}, here: {before}>>{after}"
        )
