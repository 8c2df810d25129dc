"""What can keep a public model from being tried; its row says so."""


class NotFetched(Exception):  # noqa: N818 - a reason in a row
    """A package cannot be had, or is not the one that the list names."""
