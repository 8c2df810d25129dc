"""The error raised when a distribution cannot be made."""


class DistributionError(Exception):
    """Nothing was made; the message says what was wrong and what to do."""
