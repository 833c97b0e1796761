"""An object published as a service on all workers; calls run where it is, in order, as futures.

python examples/grid_services.py
"""

from __future__ import annotations

from fscache.grid import Grid


class Fitter:
    """Something that is dear to set up and cheap to ask: a model, an open file, a licence."""

    def __init__(self, degree: int) -> None:
        self.degree = degree
        self.fits = 0

    def fit(self, x, y):
        """Return the polynomial's coefficients."""
        import numpy as np

        self.fits += 1
        return np.polyfit(x, y, self.degree)

    def count(self) -> int:
        """Return how many fits this server has made."""
        return self.fits


def main() -> None:
    """Run it."""
    with Grid(workers=2) as grid:
        fitter = grid.publish(Fitter(degree=2), wait="all")  # both servers are asked below
        # One server for as long as the block lasts: calls return at once, and run one after another.
        with grid.acquire_service(fitter) as proxy:
            x = list(range(10))
            results = [proxy.fit(x, [a * v * v + 1 for v in x]) for a in range(20)]
            leading = [round(float(result.get(30)[0])) for result in results]
        print("leading coefficients", leading)
        counts = grid.broadcast(fitter, "count")
        print("fits by server", [result.get(30) for result in counts])
        grid.terminate(fitter)


if __name__ == "__main__":
    main()
