"""Builds in worker processes: a recipe's steps walked, what came out compared, its lineage kept."""
