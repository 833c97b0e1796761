"""The engine, Dask distributed, behind a thin interface; nothing else imports it.

`client` is what a program asks of a cluster, `roles` what a process is to it: a scheduler or a worker.
"""

from fscache.grid.cluster.client import Cluster, WorkerInfo

__all__ = ["Cluster", "WorkerInfo"]
