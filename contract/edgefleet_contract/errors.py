"""What can be wrong with what the contract describes.

ContractError
└── CardError  the model card or a file it names cannot be used
"""


class ContractError(Exception):
    """Root of this package's errors; the message says what was wrong and what to do."""


class CardError(ContractError):
    """The model card or a file it names cannot be used."""
