"""What can be wrong with a profile.

ProfileError
├── CatalogueError    an entry or a file of the catalogue cannot be read
├── UnknownName       no entry with that name
├── SelectorError     a segment's selector cannot be parsed
└── NotToml           a text is no TOML, or is too deep to work with
"""


class ProfileError(ValueError):
    """Root of this package's errors; the message says what was wrong and what to do."""


class CatalogueError(ProfileError):
    """An entry or a file of the catalogue cannot be read."""


class UnknownName(ProfileError):  # noqa: N818 - reads as the statement it makes
    """No entry with that name in the catalogue."""


class SelectorError(ProfileError):
    """A segment's selector cannot be parsed."""


class NotToml(ProfileError):  # noqa: N818 - reads as the statement it makes
    """A text is no TOML, or is nested too deep, or has numbers that are too long."""
