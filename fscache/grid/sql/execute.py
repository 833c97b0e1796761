"""Running a plan: the steps on whatever works for us, the rest in this process."""

from __future__ import annotations

from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fscache.errors import GatherTooLargeError
from fscache.grid.sql.fragment import Fragment
from fscache.grid.sql.result import Result
from fscache.grid.sql.sandbox import excess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pyarrow as pa

    from fscache.grid.sql.bind import Columns
    from fscache.grid.sql.facts import Plan, Step
    from fscache.grid.sql.sandbox import Setting

    Rows = tuple[pa.Table, tuple[str, ...]]


@dataclass(frozen=True)
class Bound:
    """A plan, ready to run.

    Attributes:
        plan: The plan.
        steps: What each step gives.
        answer: What the query gives.
        parameters: Values of its parameters.
        files: What reads the tables of `plan.local`, as SQL has it, by name of the relation.
    """

    plan: Plan
    steps: dict[str, Columns]
    answer: Columns
    parameters: Mapping[str, Any]
    files: dict[str, str]


class TooMany(Exception):  # noqa: N818 - no error: another plan is taken
    """A step has more rows than its plan is worth."""


class Workers(Protocol):
    """What runs steps."""

    def run(self, step: Step, inputs: Mapping[str, Rows], /) -> Iterator[pa.Table]:
        """Run a step; yield the rows of each portion, in the order of the shards where that is known."""

    def stop(self) -> None:
        """End all that runs."""


class Execution:
    """One run of a plan."""

    def __init__(
        self,
        bound: Bound,
        workers: Workers,
        setting: Setting,
        gather: int | None = None,
        otherwise: Callable[[], Bound] | None = None,
    ) -> None:
        """Run a plan.

        Args:
            bound: The plan.
            workers: What runs its steps.
            setting: Of the database that computes the rest here.
            gather: Bytes that may come together.
            otherwise: Makes a plan that is right for any number of rows, if there is a step with `most`.
        """
        self._bound = bound
        self._otherwise = otherwise
        self._workers = workers
        self._setting = setting
        self._limit = gather
        self._here: Fragment | None = None
        self._stopped = False

    def result(self) -> Result:
        """Run it and return the answer.

        Raises:
            SQLError: a query failed.
            GatherTooLargeError: more came together than `gather`.
            CancelledError: `stop` was called.
            HostDied: workers died again and again.
        """
        while True:
            try:
                with self._opened() as here:
                    self._steps(here)
                    return self._answer(here)
            except TooMany:
                if self._otherwise is None:
                    raise
                self._bound = self._otherwise()

    def stream(self, put: Callable[[pa.RecordBatch], None]) -> None:
        """Run it and hand on batches of the answer, as soon as they can be."""
        plan = self._bound.plan
        if not plan.streams:
            for batch in self.result().batches():
                put(batch)
            return
        (step,) = plan.steps
        for table in self._workers.run(step, {}):
            with self._opened() as here:
                here.add(step.name, table, self._bound.steps[step.name].types)
                for batch in self._answer(here).batches():
                    put(batch)

    def stop(self) -> None:
        """End it, from any thread."""
        self._stopped = True
        self._workers.stop()
        here = self._here
        if here is not None:
            here.stop()

    def _steps(self, here: Fragment) -> None:
        have: dict[str, Rows] = {}
        total = 0
        for step in self._bound.plan.steps:
            types = self._bound.steps[step.name].types
            if step.here:
                table = here.table(step.sql)
            else:
                inputs = {name: self._input(here, name, have) for name in step.inputs}
                table = self._gather(step, inputs)
            total += table.nbytes
            if (error := excess(total, self._limit)) is not None:
                raise error
            have[step.name] = (table, types)
            here.add(step.name, table, types)

    def _gather(self, step: Step, inputs: Mapping[str, Rows]) -> pa.Table:
        import pyarrow as pa

        tables: list[pa.Table] = []
        size = rows = 0
        for table in self._run(step, inputs):
            if self._stopped:
                raise CancelledError
            tables.append(table)
            size += table.nbytes
            rows += table.num_rows
            if (error := excess(size, self._limit)) is not None:
                self._workers.stop()
                raise error
            if step.most is not None and rows > step.most:
                raise TooMany
            if step.enough is not None and rows >= step.enough:
                break
        return pa.concat_tables(tables)

    def _run(self, step: Step, inputs: Mapping[str, Rows]) -> Iterator[pa.Table]:
        try:
            yield from self._workers.run(step, inputs)
        except GatherTooLargeError:
            if step.most is None:
                raise
            raise TooMany from None

    def _input(self, here: Fragment, name: str, have: Mapping[str, Rows]) -> Rows:
        if name in have:
            return have[name]
        table = here.table(f'SELECT * FROM "{name}"')  # noqa: S608 - a name of the planner's
        return table, tuple(here.types(name))

    def _answer(self, here: Fragment) -> Result:
        answer = self._bound.answer
        table = here.table(self._bound.plan.final, answer.types)
        return Result(table, answer.names, answer.types)

    def _opened(self) -> Fragment:
        self._here = Fragment(
            self._bound.files, {}, self._bound.parameters, self._setting, self._limit
        )
        if self._stopped:
            self._here.stop()
        return self._here
