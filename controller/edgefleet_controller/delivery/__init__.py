"""Delivery: blobs on disk, and their chunks on the channel of each kind of link."""
