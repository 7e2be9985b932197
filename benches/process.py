"""How long a process takes and how much memory, for the scripts beside this one."""

import os
import subprocess
import tempfile
import time


def timed(command):
    """Seconds and seconds of processor time of a process, started here.

    What `subprocess` does around a process takes as long as a small chart.
    """
    nowhere = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)]
    start = time.perf_counter()
    process = os.posix_spawnp(command[0], command, os.environ, file_actions=nowhere)
    _, _, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - start
    return seconds, usage.ru_utime + usage.ru_stime


def peak(command, cwd=None):
    """The most memory that a process has, in MiB.

    GNU time starts it, since a process begins with the peak of whoever started
    it, and this one is larger than some that it measures.
    """
    with tempfile.NamedTemporaryFile("r") as report:
        wrapped = ["time", "--format=%M", f"--output={report.name}", *command]
        subprocess.run(wrapped, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return int(report.read().split()[-1]) / 1024
