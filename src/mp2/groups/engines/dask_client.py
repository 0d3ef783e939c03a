"""Clients of dask schedulers that others have started; nothing of a cluster is started here.

Whoever reaches a scheduler runs code as every worker, and workers respond with pickles. So an
address has to be of this machine, or encrypted and checked on both sides, unless the caller says
that the network is trusted.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from mp2._document import Document
from mp2._files import expanded
from mp2.errors import InputError, MissingExtraError
from mp2.groups.engines import lease
from mp2.groups.engines.handshake import Hello, hello

CONNECT_S = 10.0
CLOSE_S = 1.0
PINGS = 5

# Without pickle: an answer that would run code in this process is an error.
_DESERIALIZERS = ("msgpack", "dask")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """The files with which both sides prove who they are, in PEM format."""

    ca_file: Path
    cert: Path
    key: Path


@contextmanager
def connected(
    address: str,
    tls: TlsFiles | None = None,
    *,
    insecure: bool = False,
) -> Iterator[Any]:
    """Yield a client of the scheduler at an address, or of that which a scheduler file names.

    Raises `InputError` when the address cannot be used, nothing answers there, or it is neither of
    this machine nor tls:// and `insecure` does not allow that.
    """
    address = address_of(address)
    _check_trust(address, tls, insecure=insecure)
    try:
        # Any: its types differ between its versions.
        distributed: Any = import_module("distributed")
    except ImportError:
        raise MissingExtraError("a cluster of dask", "dask") from None
    # Its tracebacks of lost connections belong to what this package reports itself.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    security = None
    if tls is not None:
        security = distributed.Security(
            require_encryption=True,
            tls_ca_file=str(tls.ca_file),
            tls_client_cert=str(tls.cert),
            tls_client_key=str(tls.key),
        )
    try:
        client = distributed.Client(
            address,
            security=security,
            timeout=CONNECT_S,
            set_as_default=False,
            deserializers=list(_DESERIALIZERS),
            name="mp2",
        )
    # What dask raises for an address depends on its kind.
    except Exception as error:
        raise InputError(
            f"dask: no scheduler answers at {address} ({type(error).__name__}: {error}); start one "
            "with dask scheduler, or correct the address"
        ) from None
    try:
        yield client
    finally:
        # A scheduler that is gone would hold up the end of the command.
        client.close(timeout=CLOSE_S)


def address_of(text: str) -> str:
    """Return the address that a text is, or that the scheduler file it names has."""
    if "://" in text:
        return text
    path = expanded(text)
    if path.suffix == ".json" or path.is_file():
        try:
            return str(json.loads(path.read_bytes())["address"])
        except OSError as error:
            raise InputError(f"dask: {path}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError):
            raise InputError(f"dask: {path} is not a scheduler file of dask") from None
    return f"tcp://{text}"


def _check_trust(
    address: str,
    tls: TlsFiles | None,
    *,
    insecure: bool,
) -> None:
    scheme, _, place = address.partition("://")
    if scheme not in ("tcp", "tls"):
        raise InputError(f"dask: {address} is not an address such as tls://head:8786")
    if scheme == "tls":
        if tls is None:
            raise InputError(
                f"dask: {address} needs the files with which both sides prove who they are; set "
                "ca_file, cert and key in the table [dask_tls] of the settings file"
            )
        return
    if not insecure and not _is_this_machine(place):
        raise InputError(
            f"dask: {address} is neither encrypted nor checked, and who reaches it can run code "
            "on every worker; use tls://, or --dask-insecure in a network that you trust"
        )


def _is_this_machine(place: str) -> bool:
    host = place.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    # Other names are not looked up: what they mean may be changed by others.
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def survey(client: Any) -> Document:
    """Return what the scheduler and each worker are, why they could not be used, round trips."""
    here = hello()
    processes = [_described("scheduler", client.run_on_scheduler(lease.introduce), here)]
    for worker in client.nthreads():
        waits_ms = []
        said: Any = b""
        # The least of several: the first one opens the connection.
        for _ in range(PINGS):
            started_s = time.perf_counter()
            answers = client.run(lease.introduce, workers=[worker], on_error="return")
            waits_ms.append(1e3 * (time.perf_counter() - started_s))
            said = answers[worker]
        described = _described(worker, said, here)
        described["round_trip_ms"] = round(min(waits_ms), 2)
        processes.append(described)
    return {"here": asdict(here), "processes": processes}


def _described(
    name: str,
    said: Any,
    here: Hello,
) -> Document:
    if isinstance(said, Exception):
        return {"name": name, "problem": f"{type(said).__name__}: {said}"}
    worker = Hello.from_bytes(said)
    return {"name": name, **asdict(worker), "problem": worker.problem(here)}
