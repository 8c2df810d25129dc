"""What can be wrong with what the contract describes.

ContractError
├── CardError    the model card or a file it names cannot be used
└── FileRefused  a file of this machine is not what it was given for
"""


class ContractError(Exception):
    """Root of this package's errors; the message says what was wrong and what to do."""


class CardError(ContractError):
    """The model card or a file it names cannot be used."""


class FileRefused(ContractError):  # noqa: N818 - reads as the statement it makes
    """A file of this machine is not what it was given for."""
