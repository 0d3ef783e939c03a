"""Scanners for tests: made from a function, or importable for processes of their own."""

import datetime
import os
import subprocess
import sys
import time
from typing import Any

from pydantic import Field, field_validator

import mp2


def make(name, work, pipeline="test", **declared):
    """A scanner class whose `scan` is `work(context)`."""
    return type(
        name,
        (mp2.Scanner,),
        {
            "name": name,
            "pipeline": pipeline,
            "scan": lambda self, context: work(context),
            **declared,
        },
    )


def naming(name, *tickers, pipeline="test", **declared):
    """A scanner that names these tickers."""
    return make(
        name,
        lambda context: [context.candidate(ticker, f"{name} says so") for ticker in tickers],
        pipeline,
        **declared,
    )


class Alone(mp2.Scanner):
    """Reports the data that reached the other process."""

    name, pipeline, isolation = "alone", "test", "process"

    class Settings(mp2.ScannerSettings):
        word: str = ""

    def scan(self, context):
        print("on standard output")
        context.logger.info("in the log")
        context.log_tool("probe", pid=os.getpid())
        data = {
            "pid": os.getpid(),
            "state": context.state,
            "day": context.today.isoformat(),
            "word": self.settings.word,
        }
        yield context.candidate("BRK.B", "from afar", "high", {**data, "argv": sys.argv})
        yield context.candidate("?", "dropped")


class Sleeping(mp2.Scanner):
    """Starts a process of its own, notes both numbers in a file, and never ends."""

    name, pipeline, isolation = "sleeping", "test", "process"

    def scan(self, context):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        with open(context.state["file"] + ".part", "w", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {child.pid}")
        os.rename(context.state["file"] + ".part", context.state["file"])
        time.sleep(600)


class Dying(mp2.Scanner):
    """Ends its process."""

    name, pipeline, isolation = "dying", "test", "process"

    def scan(self, context):
        print("aborting", file=sys.stderr, flush=True)
        os._exit(7)


class Talkative(mp2.Scanner):
    """Sends more than fits."""

    name, pipeline, isolation = "talkative", "test", "process"

    def scan(self, context):
        return [context.candidate("A", "x", data="x" * 99_000) for _ in range(110)]


class Leaking(mp2.Scanner):
    """Prints a key before it ends, and to a file that takes the place of its standard error."""

    name, pipeline, isolation = "leaking", "test", "process"

    def scan(self, context):
        print("sending", end=" ", file=sys.stderr, flush=True)
        key = context.key("STUB_KEY")
        print(f"with {key}", file=sys.stderr, flush=True)
        print("\0mp2 secret no JSON", file=sys.stderr, flush=True)
        os.dup2(os.open(context.state["file"], os.O_CREAT | os.O_WRONLY, 0o600), 2)
        context.key("STUB_KEY")
        os._exit(7)


class Strict(mp2.Scanner):
    """Has settings that are strict about their types."""

    name, pipeline, isolation = "strict", "test", "process"

    class Settings(mp2.ScannerSettings):
        since: datetime.date = Field(default=datetime.date(2020, 1, 1), strict=True)
        words: tuple[str, ...] = Field(default=(), strict=True)

    def scan(self, context):
        yield context.candidate("A", f"{self.settings.since!r} {self.settings.words}")


class Picky(Strict):
    """Has settings that cannot be sent to another process."""

    name = "picky"

    class Settings(mp2.ScannerSettings):
        since: Any = None

        @field_validator("since")
        @classmethod
        def _a_date(cls, value):
            assert isinstance(value, datetime.date), "is no date"
            return value


class Failing(mp2.Scanner):
    """Fails with a key in its message."""

    name, pipeline, isolation = "failing", "test", "process"

    def scan(self, context):
        raise mp2.SourceError("forbidden", f"no access with {context.key('STUB_KEY')}")
