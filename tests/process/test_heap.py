"""What a process needed once goes back to the system."""

import platform
import subprocess
import sys

import pytest

# Eight threads, one after the other: each keeps a few of many blocks, and frees the rest.
PROGRAM = """
import os, sys, threading
from edgefleet_process.heap import keep_heap_small
if sys.argv[1] == "small":
    keep_heap_small()

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def work():
    blocks = [bytes(size * 1024) for _ in range(20) for size in range(40, 400, 20)]
    small = [bytes(2000) for _ in range(500)]
    kept.append(blocks[::7][:2] + small[::100])
    del blocks[:], small[:]

kept, before = [], resident()
for _ in range(8):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
print((resident() - before) / 2**20)
"""


def grown_mb(how: str) -> float:
    command = [sys.executable, "-P", "-c", PROGRAM, how]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such setting")
def test_most_of_what_many_threads_needed_once_is_given_back() -> None:
    assert grown_mb("small") < grown_mb("as it comes") / 2
