"""Memory of this process and of the computer; free of JAX, so that other libraries can be measured without it."""

import math
import os
import sys
from pathlib import Path

_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def peak_megabytes() -> float:
    """Largest resident memory of this process so far, in units of 1e6 bytes; on Linux without that of its parent process."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource  # Not available on Windows.

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def memory_bytes() -> float:
    """Memory of the computer in bytes, or of the container if its control group allows less; infinite if neither is known."""
    found = []
    if hasattr(os, "sysconf") and {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= os.sysconf_names.keys():
        found.append(float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")))
    for path in _LIMITS:
        # Without a limit, version 2 has the word `max` and version 1 a number above all memory.
        text = path.read_text().strip() if path.exists() else ""
        found += [float(text)] if text.isdecimal() else []
    return min(found, default=math.inf)
