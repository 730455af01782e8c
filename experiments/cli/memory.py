"""Memory of this process; free of JAX, so that other libraries can be measured without it."""

import sys
from pathlib import Path


def peak_megabytes() -> float:
    """Largest resident memory of this process so far, in units of 1e6 bytes; on Linux without that of its parent process."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource  # Not available on Windows.

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
