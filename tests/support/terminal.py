"""A command on two terminals of 80 columns: its output, and what it says meanwhile."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from dataclasses import dataclass, field

COLUMNS = 80
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Terminal:
    """What a terminal got: the text without its codes, and when each part of it came."""

    parts: list[tuple[float, str]] = field(default_factory=list)

    @property
    def text(self):
        return _CODES.sub("", "".join(part for _, part in self.parts)).replace("\r\n", "\n")

    @property
    def lines(self):
        """Also those that were drawn over."""
        return re.split(r"[\r\n]", self.text)

    def follow(self, end, started_s):
        while True:
            try:
                part = os.read(end, 65536)
            except OSError:
                # The other end is closed.
                return
            if not part:
                return
            self.parts.append((time.monotonic() - started_s, part.decode()))


def on_terminals(*args, columns=COLUMNS):
    """Run a command; return its exit code and the terminals of stdout and stderr."""
    command = [sys.executable, "-m", "mp2", *map(str, args)]
    ends = [pty.openpty() for _ in range(2)]
    for end, _ in ends:
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm"}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        environment.pop(name, None)
    process = subprocess.Popen(
        command, stdout=ends[0][1], stderr=ends[1][1], stdin=subprocess.DEVNULL, env=environment
    )
    started_s = time.monotonic()
    terminals = [Terminal(), Terminal()]
    followers = []
    for terminal, (end, other) in zip(terminals, ends, strict=True):
        os.close(other)
        follower = threading.Thread(target=terminal.follow, args=(end, started_s))
        follower.start()
        followers.append(follower)
    code = process.wait(timeout=120)
    for follower, (end, _) in zip(followers, ends, strict=True):
        follower.join()
        os.close(end)
    return code, *terminals
