"""How much memory a piece of code takes beyond what it begins with, measured in a process of its own."""

import subprocess
import sys
import textwrap
from pathlib import Path

_FRAME = """
from pathlib import Path
def taken_mb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
{before}
began_mb = taken_mb()
{code}
print(taken_mb() - began_mb)
"""


def grown_mb(before: str, code: str, folder: Path) -> float:
    """Run `before` and then `code` in a new process, in `folder`; by how many MB `code` raised its peak."""
    script = _FRAME.format(before=textwrap.dedent(before), code=textwrap.dedent(code))
    ran = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return float(ran.stdout.splitlines()[-1])
