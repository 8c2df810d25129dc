"""What can be wrong with something that came over the wire, or with the way to it.

ProtocolError
├── MalformedTopic      not one of edgefleet's topics
├── MalformedMessage    not a message of the expected kind
├── MalformedFrame      not a chunk frame
├── CorruptBlob         the size, digest or encoding of a blob is not what its name says
└── NotABroker          a setting, not a message: not the address of a broker
"""


class ProtocolError(ValueError):
    """Root of this package's errors; receivers count them and set the bytes aside."""


class MalformedTopic(ProtocolError):  # noqa: N818 - reads as the statement it makes
    """Not one of edgefleet's topics."""


class MalformedMessage(ProtocolError):  # noqa: N818
    """Not a message of the expected kind."""


class MalformedFrame(ProtocolError):  # noqa: N818
    """Not a chunk frame."""


class CorruptBlob(ProtocolError):  # noqa: N818
    """The size, digest or encoding of a blob is not what its name says."""


class NotABroker(ProtocolError):  # noqa: N818
    """Not the address of a broker."""
