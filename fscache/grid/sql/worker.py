"""A step of a query on a node: its files from the node's holdings, its rows back as Arrow's bytes."""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, NamedTuple

from fscache.grid.engine import parquet, parquet_each
from fscache.grid.pickles import loads
from fscache.grid.sql.fragment import Fragment
from fscache.grid.sql.sandbox import Setting, directories, memory

if TYPE_CHECKING:
    import pyarrow as pa

    from fscache.grid.node import Node

_PIECE = 1 << 30  # bytes; a text of messages has 2 GiB at the most
Files = dict[str, list[tuple[str, list[str]]]]  # relation → (address, who is said to hold it)


class Task(NamedTuple):
    """What all portions of a step have in common.

    Attributes:
        run: Name of the query's run.
        client: Whose it is.
        sql: As `Step.sql`.
        parameters: Values of its parameters.
        wholes: Files of the relations that are whole tables.
        inputs: Relations that are given as rows, with the types of their columns.
        timezone: What times without an offset mean.
        threads: How many a portion may use.
        share: Part of the host's memory for each of them.
        gather: Bytes that a portion's rows may have.
        each: As `Step.each`.
    """

    run: str
    client: str
    sql: str
    parameters: dict[str, Any]
    wholes: Files
    inputs: dict[str, tuple[bytes, tuple[str, ...]]]
    timezone: str
    threads: int
    share: float
    gather: int
    each: bool


def run_portion(node: Node, blob: bytes, parts: Files) -> list[bytes] | None:
    """Return a portion of a step in pieces of what `packed` gives; None if its run was cancelled.

    Called in a thread for the event loop, to which a CancelledError would mean that it itself is to stop.
    """
    try:
        data = compute(node, loads(blob), parts)
    except CancelledError:
        return None
    return [data[at : at + _PIECE] for at in range(0, len(data), _PIECE)]


def compute(node: Node, task: Task, parts: Files) -> bytes:
    """Return a portion of a step, as `packed`.

    Raises:
        SQLError: DuckDB failed.
        GatherTooLargeError: there are more rows than may be sent.
        CancelledError: the run was cancelled.
        NotCachedError: nobody has a shard.
    """
    files = {
        relation: [node.holdings.path(address, holders) for address, holders in listed]
        for relation, listed in (task.wholes | parts).items()
    }
    setting = Setting(
        task.threads,
        int(memory() * task.share) * task.threads,
        task.timezone,
        directories(node.cache),
    )
    fragment = Fragment(
        {
            relation: parquet_each(paths) if task.each and relation in parts else parquet(paths)
            for relation, paths in files.items()
        },
        {name: (unpacked(data), types) for name, (data, types) in task.inputs.items()},
        task.parameters,
        setting,
        task.gather,
    )
    with fragment, node.runs.during(task.run, fragment.stop):
        return packed(fragment.table(task.sql))


def packed(table: pa.Table) -> bytes:
    """Return a table as bytes."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def unpacked(data: bytes) -> pa.Table:
    """Return what `packed` was given."""
    import pyarrow as pa

    return pa.ipc.open_stream(data).read_all()
