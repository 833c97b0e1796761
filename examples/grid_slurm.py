"""A grid whose workers are Slurm jobs.

    pip install dask-jobqueue
    fscache workers init                      # once: certificates, in a home that all nodes see
    python examples/grid_slurm.py

Any cluster of Dask's launchers is joined in the same way, by its scheduler's address: dask-kubernetes'
KubeCluster, where the certificates are a mounted secret, or dask-ssh's.
"""

from __future__ import annotations

import os
import sys

from distributed import Security

from fscache.grid import Grid

CERTIFICATES = os.path.expanduser("~/.config/fscache/grid")


def security(directory: str) -> Security:
    """Return the grid's certificates as Dask wants them: both sides show one, or nobody gets in."""
    files = {
        f"tls_{role}_{part}": f"{directory}/{part}.pem"
        for role in ("scheduler", "worker", "client")
        for part in ("cert", "key")
    }
    return Security(tls_ca_file=f"{directory}/ca.pem", require_encryption=True, **files)


def hosts(grid: Grid) -> list[str]:
    """Return where the workers are."""
    return sorted(worker.host for worker in grid.workers())


def main(launcher: type, **options: object) -> None:
    """Start the jobs, and ask each where it runs."""
    with launcher(
        cores=1, processes=1, protocol="tls://", security=security(CERTIFICATES), **options
    ) as cluster:
        cluster.scale(jobs=2)
        with Grid(cluster.scheduler_address, tls=CERTIFICATES) as grid:
            grid.cluster.wait_for(2, 300)
            print(f"{len(hosts(grid))} workers on {', '.join(hosts(grid))}")


if __name__ == "__main__":
    from dask_jobqueue import SLURMCluster

    main(SLURMCluster, memory="4GB", walltime="00:10:00", queue=(sys.argv[1:] or [None])[0])
