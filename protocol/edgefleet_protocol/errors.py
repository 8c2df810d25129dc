"""What can be wrong with something that came over the wire.

ProtocolError
├── MalformedTopic      a topic that is none of ours
├── MalformedMessage    bytes that are no message of the expected kind
├── MalformedFrame      bytes that are no chunk frame
└── CorruptBlob         a blob whose size, digest or encoding is not what its name says
"""


class ProtocolError(ValueError):
    """Root of this package's errors; receivers count these and set the bytes aside."""


class MalformedTopic(ProtocolError):  # noqa: N818 - reads as the statement it makes
    """A topic that is none of ours."""


class MalformedMessage(ProtocolError):  # noqa: N818
    """Bytes that are no message of the expected kind."""


class MalformedFrame(ProtocolError):  # noqa: N818
    """Bytes that are no chunk frame."""


class CorruptBlob(ProtocolError):  # noqa: N818
    """A blob whose size, digest or encoding is not what its name says."""
