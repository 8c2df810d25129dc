"""Labels as they are typed: `site=oslo` sets one, `site-` takes one away, as with kubectl; pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import typer

from edgefleet_profiles.names import NAME_PATTERN

_NAME = re.compile(NAME_PATTERN)
_RULE = "use lower-case letters, digits, '-' and '_', at most 64"


@dataclass
class WrittenLabels:
    """Labels to set, and keys to take away."""

    set: dict[str, str] = field(default_factory=dict)
    remove: list[str] = field(default_factory=list)


def parse_labels(words: Iterable[str]) -> WrittenLabels:
    """Read words as labels to set and to take away.

    Raises:
        typer.BadParameter: a word is neither, a key or a value is not a name, or a key comes twice.
    """
    written = WrittenLabels()
    for word in words:
        key, sets, value = word.partition("=")
        if not sets:
            if not word.endswith("-"):
                raise typer.BadParameter(f"'{word}' is no change of a label: write KEY=VALUE, or KEY- to take it away")
            key = word[:-1]
        if not _NAME.fullmatch(key):
            raise typer.BadParameter(f"'{key}' is not a name for a label: {_RULE}")
        if sets and not _NAME.fullmatch(value):
            raise typer.BadParameter(f"'{value}' cannot be the value of {key}: {_RULE}")
        if key in written.set or key in written.remove:
            raise typer.BadParameter(f"{key} comes twice: write each label once")
        if sets:
            written.set[key] = value
        else:
            written.remove.append(key)
    return written
