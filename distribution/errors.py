"""What can go wrong in making a distribution."""


class DistributionError(Exception):
    """Nothing was made; the message says what was wrong and what to do."""
