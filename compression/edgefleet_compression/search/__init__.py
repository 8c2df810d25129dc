"""The search for variants: propose recipes in rounds, build them in workers, keep what nothing else beats.

Nothing here imports torch: worker processes build and measure.
"""
