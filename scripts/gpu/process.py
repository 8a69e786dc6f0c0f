"""Programs under a time limit: what they printed, how long they took, and that nothing of them is left behind."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Outcome:
    # None where the time was up.
    status: int | None
    seconds: float
    stdout: str
    stderr: str

    @property
    def ok(self):
        return self.status == 0

    @property
    def reason(self):
        """Why it failed, with the end of what it said."""
        how = f"stopped after {self.seconds:.0f} s" if self.status is None else f"exit status {self.status}"
        return f"{how}: {tail(self.stderr if self.stderr.strip() else self.stdout)}"


def tail(text, lines=8, width=240):
    return "\n".join(line[:width] for line in text.strip().splitlines()[-lines:])


def run(command, limit, env=None, log=None, session=False):
    """Runs `command` for at most `limit` seconds in a process group of its own, or in a `session` of its own, which its
    children's groups belong to: so it is ended with all that it started."""
    start = time.monotonic()
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=env,
        **({"start_new_session": True} if session else {"process_group": 0}),
    )
    try:
        stdout, stderr = process.communicate(timeout=max(limit, 0.1))
        status = process.returncode
    except subprocess.TimeoutExpired:
        end(process.pid)
        stdout, stderr = process.communicate()
        status = None
    finally:
        end(process.pid)
    outcome = Outcome(status, time.monotonic() - start, stdout, stderr)
    if log is not None:
        with open(log, "a") as file:
            file.write(f"$ {' '.join(map(str, command))}\n{stdout}{stderr}[{status}, {outcome.seconds:.1f} s]\n\n")
    return outcome


def end(leader):
    """Kills every process of the group or the session that `leader` leads."""
    for entry in os.scandir("/proc"):
        try:
            # After the command in parentheses: state, parent, group, session.
            group, session = Path(entry.path, "stat").read_text().rpartition(")")[2].split()[2:4]
            if leader in (int(group), int(session)):
                os.kill(int(entry.name), signal.SIGKILL)
        except (OSError, ValueError):
            continue
