"""A module that breaks while it is loaded."""

raise RuntimeError("out of glue")
