"""Prices a variant on a profile, chooses one for it, and explains the choice."""
