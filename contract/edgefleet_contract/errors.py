"""Errors of this package.

ContractError
├── CardError    the model card or a file it names cannot be used
└── FileRefused  a local file is not what it should be
"""


class ContractError(Exception):
    """Root of this package's errors; the message says what was wrong and what to do."""


class CardError(ContractError):
    """The model card or a file it names cannot be used."""


class FileRefused(ContractError):  # noqa: N818 - reads as the statement it makes
    """A local file is not what it should be."""
