"""Samples and labels as data files hold them, split by split."""
