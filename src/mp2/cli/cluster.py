"""The options of a cluster of dask, and a command's control while it is connected to one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from mp2._document import Document
from mp2._files import expanded
from mp2.cli.options import options_record
from mp2.cli.session import current_session
from mp2.errors import InputError

if TYPE_CHECKING:
    from mp2.groups.engines.dask_client import TlsFiles
    from mp2.pipeline import RunControl

DASK_OPTION = click.option(
    "--dask",
    metavar="ADDRESS",
    help="run at the workers of this dask scheduler, such as tls://head:8786, or of a scheduler "
    "file; files of tls are in the table [dask_tls] of the settings",
)
INSECURE_OPTION = click.option(
    "--dask-insecure",
    is_flag=True,
    help="allow an address of another machine without tls: who reaches it can run code there",
)
CLUSTER_OPTIONS = (
    DASK_OPTION,
    click.option(
        "--slots",
        type=click.IntRange(1),
        help="kernels that run at once on it [default: as many as its workers have threads]",
    ),
    INSECURE_OPTION,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """Where a command runs; nowhere else without `dask`."""

    dask: str | None
    slots: int | None
    dask_insecure: bool


@contextmanager
def at_cluster(control: RunControl, options: Document) -> Iterator[RunControl]:
    """Yield the control of a run at the cluster that the options name, or as it is."""
    if options["dask"] is not None:
        control.observe_step(f"connecting to {options['dask']}")
    with cluster_client(options, own_workers=False) as client:
        yield replace(control, executor=client, slots=options["slots"])


@contextmanager
def cluster_client(options: Document, *, own_workers: bool = True) -> Iterator[Any]:
    """Yield a client of the cluster that the options name; None without one.

    `own_workers`: whether `--workers` means something beside a cluster.
    """
    how = options_record(ClusterOptions, options)
    if how.dask is None:
        if how.slots is not None:
            raise InputError("slots: they are of a cluster; name it with --dask, or use --workers")
        yield None
        return
    workers = click.get_current_context().get_parameter_source("workers")
    if workers is ParameterSource.COMMANDLINE and not own_workers:
        raise InputError("workers: with --dask the slots are elsewhere; use --slots")
    with client_of(how.dask, insecure=how.dask_insecure) as client:
        yield client


@contextmanager
def client_of(address: str, *, insecure: bool) -> Iterator[Any]:
    """Yield a client of a scheduler, with the files of the settings."""
    from mp2.groups.engines.dask_client import connected

    with connected(address, tls_files(), insecure=insecure) as client:
        yield client


def tls_files() -> TlsFiles | None:
    """Return the files of the table `[dask_tls]`; None without it. `InputError` for a wrong one."""
    from mp2.groups.engines.dask_client import TlsFiles

    file = current_session().settings
    table = file.tables.get("dask_tls")
    if table is None:
        return None
    names = ("ca_file", "cert", "key")
    if not isinstance(table, dict) or sorted(table) != sorted(names):
        raise InputError(f"{file.path}: [dask_tls] has the keys {', '.join(names)}, all of them")
    paths = {}
    for name in names:
        path = file.path.parent / expanded(str(table[name]))
        if not path.is_file():
            raise InputError(f"{file.path}: [dask_tls] {name}: {path}: no such file")
        paths[name] = path
    return TlsFiles(**paths)
