"""How much memory a process needs, for the scripts beside this one."""

import subprocess
import tempfile


def peak(command, cwd=None):
    """The most memory that a process has, in MiB.

    GNU time starts it, since a process begins with the peak of whoever started
    it, and this one is larger than some that it measures.
    """
    with tempfile.NamedTemporaryFile("r") as report:
        wrapped = ["time", "--format=%M", f"--output={report.name}", *command]
        subprocess.run(wrapped, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return int(report.read().split()[-1]) / 1024
