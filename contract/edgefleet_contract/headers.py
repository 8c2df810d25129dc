"""The header that tells a program's request from one that a foreign page makes a browser send."""

REQUESTED_WITH = "X-Requested-With"
"""Needed where a POST has no JSON; any value will do, as no page can send it to another site without being asked."""
