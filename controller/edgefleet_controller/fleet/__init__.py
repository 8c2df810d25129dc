"""The fleet: the broker and the bus, what devices say, what they hear, and who may join."""
