"""What both sides of a worker know of its memory."""

BYTES_PER_THREAD = 16 * 1024 * 1024
"""Address space of a thread's stack, hardly any of which is ever memory."""
WEIGHT_COPIES = 4
"""Loading, unfolding and optimizing takes about 3 times the weights."""
