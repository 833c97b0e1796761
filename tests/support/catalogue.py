"""A made-up sky catalogue, as QuickDB's are: nested columns, NaN, flags, vectors.

`sky` has columns `id`, `best` (`primary`, `pos`, and for the filters g, r and i `psf_flux` and `ext`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from pathlib import Path

    from fscache.cache import Cache


@dataclass
class Sky:
    """The catalogue as arrays, for the right answers."""

    id: np.ndarray
    primary: np.ndarray
    pos: np.ndarray
    flux: dict[str, np.ndarray]
    ext: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.id)

    def mag(self, band: str) -> np.ndarray:
        with np.errstate(all="ignore"):
            return -2.5 * np.log10(self.flux[band] * 1e-9 / 3631)

    @property
    def ra(self) -> np.ndarray:
        return np.arctan2(self.pos[:, 1], self.pos[:, 0]) % (2 * np.pi)

    @property
    def dec(self) -> np.ndarray:
        return np.arctan2(self.pos[:, 2], np.hypot(self.pos[:, 0], self.pos[:, 1]))

    def table(self) -> pa.Table:
        """The catalogue with nested columns."""
        bands = {
            band: pa.StructArray.from_arrays(
                [pa.array(self.flux[band]), pa.array(self.ext[band])], ["psf_flux", "ext"]
            )
            for band in self.flux
        }
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(self.pos.ravel()), 3)
        best = pa.StructArray.from_arrays(
            [pa.array(self.primary), vectors, *bands.values()], ["primary", "pos", *bands]
        )
        return pa.table({"id": pa.array(self.id), "best": best})

    def flat(self) -> pa.Table:
        """The same with columns whose names have dots."""
        columns = {"id": pa.array(self.id), "best.primary": pa.array(self.primary)}
        columns["best.pos"] = pa.FixedSizeListArray.from_arrays(pa.array(self.pos.ravel()), 3)
        for band in self.flux:
            columns[f"best.{band}.psf_flux"] = pa.array(self.flux[band])
            columns[f"best.{band}.ext"] = pa.array(self.ext[band])
        return pa.table(columns)


def make(rows: int = 4000, seed: int = 1) -> Sky:
    """Make a catalogue; ids begin beyond 2^53, where a double is not exact any more."""
    rng = np.random.default_rng(seed)
    ra, dec = np.radians(rng.uniform(200, 250, rows)), np.radians(rng.uniform(-12, 12, rows))
    pos = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
    flux, ext = {}, {}
    for band in "gri":
        flux[band] = 10 ** rng.uniform(1, 6, rows)
        flux[band][rng.random(rows) < 0.02] = -5.0
        flux[band][rng.random(rows) < 0.01] = 0.0
        flux[band][rng.random(rows) < 0.05] = np.nan
        flux[band][rng.random(rows) < 0.002] = np.inf
        ext[band] = rng.random(rows)
        ext[band][rng.random(rows) < 0.05] = np.nan
    ids = (1 << 55) + rng.permutation(rows).astype(np.int64)
    return Sky(ids, rng.random(rows) < 0.7, pos, flux, ext)


def deploy(cache: Cache, table: pa.Table, name: str, files: Path, shards: int) -> None:
    """Make a table of a cache, without a cluster."""
    import pyarrow.parquet as pq

    from fscache.grid.deploy import Deploy
    from fscache.grid.manifests import Manifests

    files.mkdir()
    pq.write_table(table, files / "all.parquet")
    manifests = Manifests(cache.root)
    work = Deploy(
        cache,
        manifests,
        str(files),
        name,
        by=("id",),
        how="range",
        like=None,
        shards=shards,
        shard_size=64 << 20,
        columns=None,
    )
    manifests.write(name, work.run().encode())
    work.clear()
