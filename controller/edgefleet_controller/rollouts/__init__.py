"""Rollouts: which device gets which variant and when, whether to continue, and what devices are told."""
