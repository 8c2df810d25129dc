"""The search for variants: recipes proposed round by round, built by workers, kept where nothing beats them.

Nothing here imports torch: recipes go out to worker processes, and figures come back as plain values.
"""
