"""Delivery: blobs on disk, and chunks of them on the channels of each kind of link."""
