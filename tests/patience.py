"""How patient a test has to be on a machine that does other things too."""

import os


def slowed() -> float:
    """How many times as long everything takes on processors that others want too; 1 on a free machine."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
