"""`fscache workers status`: which workers of this host live, and whether their head knows them.

A worker is `working` if its process lives and the head says it is there; `alone` if it lives and the
head does not answer or does not know it; `starting` between a death and the next start; `stopped` if
somebody has stopped it; `dead` otherwise. The exit code is 1 unless all are working or stopped.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session
    from fscache.grid.control import State


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    from fscache.cli.workers import add_choice

    add_choice(parser)


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.cli import workers

    code = workers.elsewhere(session, arguments, "status", *arguments.names)
    if code is not None:
        return code
    control = workers.control(session)
    states = [control.status(name) for name in arguments.names or control.names()]
    known: dict[tuple[str, str], set[tuple[str, int]]] = {}
    good = True
    for state in states:
        word = _word(state, known)
        good = good and word in ("working", "stopped")
        workers.emit(session, state, word)
    return 0 if good else 1


def _word(state: State, known: dict[tuple[str, str], set[tuple[str, int]]]) -> str:
    if not state.alive:
        return "stopped" if state.stopped else "dead"
    if not state.worker:
        return "starting"
    head = (state.orders["head"], state.orders["tls"])
    if head not in known:
        known[head] = _ask(*head)
    return "working" if (state.name, state.worker) in known[head] else "alone"


def _ask(head: str, directory: str) -> set[tuple[str, int]]:
    """Return name and pid of every worker that the head knows, none if it does not answer."""
    from contextlib import closing

    from fscache.errors import GridError
    from fscache.grid import tls
    from fscache.grid.cluster import Cluster

    try:
        with closing(Cluster(head, tls.load(directory), timeout=5)) as cluster:
            return {(worker.name, worker.pid) for worker in cluster.workers()}
    except GridError:
        return set()
