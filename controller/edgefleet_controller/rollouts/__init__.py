"""Rollouts: who gets what and when, whether it may go on, and what devices are told."""
