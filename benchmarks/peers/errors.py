"""What can be wrong with a peer; its row says so, and the others are compared all the same.

PeerError
"""


class PeerError(Exception):
    """A peer could not be installed, or gave no file; says why."""
