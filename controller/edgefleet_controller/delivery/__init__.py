"""Delivery: blobs on disk, and chunks of them on the lanes of each kind of link."""
