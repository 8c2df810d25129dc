"""The figures of a variant, and the machine that they were taken on."""
