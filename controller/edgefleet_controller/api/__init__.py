"""REST under /api/v1: thin routes over the store and the rules."""
