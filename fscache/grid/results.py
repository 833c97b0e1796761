"""The result of a call that runs elsewhere: a future that never hangs on a dead host.

It ends with a value, with what the method raised, or with HostDied or ServiceEndedError.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.grid.aside import Aside


class Result(Future[Any]):
    """What a call on a proxy returns at once; use as any `concurrent.futures.Future`.

    A call that was sent cannot be called back, so `cancel` returns False.
    """

    def __init__(self, aside: Aside) -> None:
        super().__init__()
        self._aside = aside
        self.set_running_or_notify_cancel()

    def get(self, timeout: float | None = None) -> Any:
        """Return the value, or raise what the method raised, with the traceback from there.

        Args:
            timeout: The longest wait, in s; the call goes on and can be waited for again.

        Raises:
            TimeoutError: `timeout` passed.
            HostDied: the server's process is gone.
            ServiceEndedError: the service was terminated before the call ended.
        """
        try:
            return self.result(timeout)
        except TimeoutError:
            if self.done():
                raise  # the method's own
            raise TimeoutError(f"the call has not ended within {timeout:g} s") from None

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        """Have `fn` called with this when the call has ended; it may wait for other calls.

        Callbacks run in a thread of their own, one after the other.
        """
        super().add_done_callback(lambda ended: self._aside.post(fn, ended))

    @property
    def value(self) -> Any:
        """The value; waits for it, as `get` does."""
        return self.result()


def gather(results: list[Result], timeout: float | None = None) -> list[Any]:
    """Return the values of `results` in their order; raises the first error among them.

    Args:
        results: What calls returned.
        timeout: The longest wait for all of them together, in s.
    """
    from concurrent.futures import wait

    pending = wait(results, timeout).not_done
    if pending:
        raise TimeoutError(f"{len(pending)} of {len(results)} calls have not ended")
    return [result.result() for result in results]
