"""Making a table: from source files to shards in the own root.

Every finished shard is noted at once, so a deploy that is interrupted goes on with those that are
missing (sorting is done again, writing is not). What it would make is known beforehand by its `id`: a
digest of the files' names, sizes and times, and of the options.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fscache.errors import FscacheError, NotCachedError, TableSourceError
from fscache.grid.cuts import Cut, cuts_of, kept_whole
from fscache.grid.dealing import Dealing
from fscache.grid.scratch import Scratch
from fscache.grid.sources import Source
from fscache.grid.table import Partitioning, ShardInfo, Table, shard_of
from fscache.grid.writing import shard_stats, written
from fscache.objects.digest import digest_of

if TYPE_CHECKING:
    import pyarrow as pa

    from fscache.cache import Cache
    from fscache.grid.manifests import Manifests


class Deploy:
    """One deploy."""

    def __init__(
        self,
        cache: Cache,
        manifests: Manifests,
        source: str,
        name: str,
        *,
        by: tuple[str, ...],
        how: str,
        like: Table | None,
        shards: int | None,
        shard_size: int,
        columns: tuple[str, ...] | None,
    ) -> None:
        """Prepare; see `Tables.deploy`."""
        if how not in ("range", "hash"):
            raise ValueError("how is 'range' or 'hash'")
        if not name or "/" in name or not name.isprintable():
            raise TableSourceError("not a name for a table", name)
        counts = (shards, shard_size)
        if any(count is not None and count < 1 for count in counts):
            raise TableSourceError(f"shards and their size are 1 or more, not {counts}", name)
        if columns is not None and not 0 < len(columns) == len(set(columns)):
            raise TableSourceError(f"columns are some, each once, not {list(columns)}", name)
        if like is not None and (how, like.partitioning.kind) != ("range", "range"):
            raise TableSourceError("only ranges can be taken over from another table", name)
        self._cache = cache
        self._manifests = manifests
        self._source = Source(source, name)
        self._name = name
        self._by = by
        self._how = how
        self._like = like
        self._shards = shards
        self._shard_size = shard_size
        self._columns = columns
        options = {
            "files": self._source.fingerprint,
            "by": by,
            "how": how if by else "",
            "bounds": like.partitioning.bounds if like else None,
            "shards": shards,
            "shard_size": shard_size,
            "columns": columns,
        }
        self.id = digest_of(json.dumps(options, sort_keys=True).encode())
        self._done: dict[int, ShardInfo] = {}

    def run(self) -> Table:
        """Make the shards that are not there yet; return the table, not placed."""
        import pyarrow as pa

        self._done = dict(self._finished())
        try:
            if self._source.kind == "parquet" and not self._by:
                schema, dealt = self._copy(), Partitioning()
            else:
                schema, dealt = self._deal()
        except FscacheError:
            raise
        except Exception as exc:
            if isinstance(exc, pa.ArrowException | OSError) or type(exc).__module__.endswith(
                "duckdb"
            ):
                raise TableSourceError(str(exc), self._name) from exc
            raise
        return Table(
            self._name,
            schema.serialize().to_pybytes(),
            tuple(self._done[index] for index in sorted(self._done)),
            dealt,
            self.id,
            self._source.path,
            self._cache.root.now(),
        )

    def clear(self) -> None:
        """Forget what was noted: the table is recorded."""
        self._manifests.clear(self.id)

    def _finished(self) -> list[tuple[int, ShardInfo]]:
        found = []
        for _piece, data in self._manifests.noted(self.id):
            shard = shard_of(json.loads(data))
            try:
                self._cache.path(shard.address)
            except NotCachedError:
                continue  # purged since
            found.append((shard.index, shard))
        return found

    def _note(self, shard: ShardInfo) -> None:
        self._done[shard.index] = shard
        self._manifests.note(self.id, str(shard.index), json.dumps(asdict(shard)).encode())

    # -- Parquet as it comes ------------------------------------------------------------------

    def _copy(self) -> pa.Schema:
        cuts, schema = cuts_of(
            self._source.files,
            self._name,
            size=self._shard_size,
            shards=self._shards,
            columns=self._columns,
        )
        missing = [cut for cut in cuts if cut.index not in self._done]
        # Encoding Parquet leaves the interpreter alone, so threads do.
        with ThreadPoolExecutor(_cores()) as pool:
            for shard in pool.map(lambda cut: self._cut(cut, schema), missing):
                self._note(shard)
        return schema

    def _cut(self, cut: Cut, schema: pa.Schema) -> ShardInfo:
        if cut.whole is not None:
            address = self._cache.put(cut.whole)
            stats = kept_whole(cut.whole)
            return ShardInfo(cut.index, address, os.path.getsize(cut.whole), cut.rows, stats)
        return self._keep(cut.index, cut.read(self._columns).cast(schema))

    def _keep(self, index: int, table: pa.Table) -> ShardInfo:
        data = written(table)
        import pyarrow as pa

        address = self._cache.put(pa.BufferReader(data))
        return ShardInfo(index, address, data.size, table.num_rows, shard_stats(data, table))

    # -- everything else, through one ordered stream ------------------------------------------

    def _deal(self) -> tuple[pa.Schema, Partitioning]:
        from fscache.grid.engine import connect

        with Scratch() as temp, connect(temp=temp) as connection:
            dealing = Dealing(
                connection,
                self._source,
                by=self._by,
                how=self._how,
                like=self._like,
                shards=self._shards,
                shard_size=self._shard_size,
                columns=self._columns,
            )
            with ThreadPoolExecutor(_cores()) as pool:
                waiting: list[Any] = []
                for index, table in dealing.shards():
                    if index in self._done:
                        continue
                    waiting.append(pool.submit(self._keep, index, table))
                    if len(waiting) > _cores():  # no more in memory than are being written
                        self._note(waiting.pop(0).result())
                for future in waiting:
                    self._note(future.result())
            return dealing.schema, dealing.partitioning


def _cores() -> int:
    return len(os.sched_getaffinity(0))
