"""What a variant costs on a profile, which one it gets, and why."""
