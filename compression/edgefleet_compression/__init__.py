"""Recipes of compression steps, run in workers of their own; the only home of torch."""
