"""Side-by-side timing: every case in turn, again and again, medians and ratios.

These machines are noisy and drift, so a case is never timed alone: one round runs each case once, in
rotating order, and a ratio is the median of the rounds' ratios. Never asserted in tests.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Case:
    """One contender.

    `run` does the work once and may return seconds it measured itself (else the call is timed).
    `setup` is called before each run, untimed.
    """

    name: str
    run: Callable[[], float | None]
    setup: Callable[[], None] | None = None
    seconds: list[float] = field(default_factory=list)
    error: str | None = None


def compare(
    title: str, cases: list[Case], base: str, *, rounds: int = 5, work: float = 1.0, unit: str = ""
) -> dict:
    """Time the cases and print a table of medians and of ratios to the case named `base`.

    Args:
        title: What is done.
        cases: The contenders.
        base: The one that ratios refer to: base's time ÷ the case's, so more is faster.
        rounds: At least 5.
        work: Units of work in one run, for a rate.
        unit: Name of that unit (`files`, `MiB`); empty prints seconds only.
    """
    for number in range(rounds):
        for offset in range(len(cases)):
            case = cases[(number + offset) % len(cases)]
            if case.error:
                continue
            try:
                if case.setup:
                    case.setup()
                start = time.perf_counter()
                measured = case.run()
                case.seconds.append(
                    measured if measured is not None else time.perf_counter() - start
                )
            except Exception as exc:
                case.error = f"{type(exc).__name__}: {exc}"[:80]
    reference = next(case for case in cases if case.name == base)
    print(f"\n## {title}\n")
    rate = f" {unit}/s |" if unit else ""
    print(f"| case | median | min – max |{rate} × {base} |")
    print("|---|---|---|---|" + ("---|" if unit else ""))
    result = {}
    for case in cases:
        if case.error or not case.seconds:
            print(f"| {case.name} | failed: {case.error} | | |" + (" |" if unit else ""))
            continue
        median = statistics.median(case.seconds)
        ratio = statistics.median(
            r / s for r, s in zip(reference.seconds, case.seconds, strict=False)
        )
        result[case.name] = {"median": median, "ratio": ratio, "rounds": len(case.seconds)}
        per = f" {work / median:,.0f} |" if unit else ""
        print(
            f"| {case.name} | {_time(median)} | {_time(min(case.seconds))} – {_time(max(case.seconds))} |"
            f"{per} {ratio:.2f} |"
        )
    sys.stdout.flush()
    return result


def repeat(call: Callable[[], object], times: int) -> Callable[[], float]:
    """Return a run that calls `call` many times and gives the mean seconds of one call."""

    def run() -> float:
        start = time.perf_counter()
        for _ in range(times):
            call()
        return (time.perf_counter() - start) / times

    return run


def machine() -> str:
    """Return one line that says what was measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux "
        f"{platform.release()}, Python {platform.python_version()}"
    )


def main(benchmarks: dict[str, Callable[[int], dict]]) -> None:
    """Run the named benchmarks (all by default); `--json FILE` keeps the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help=f"of {', '.join(benchmarks)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json")
    options = parser.parse_args()
    print(machine())
    figures = {}
    for name, run in benchmarks.items():
        if not options.names or name in options.names:
            figures[name] = run(options.rounds)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"machine": machine(), "figures": figures}, file, indent=1)


def _time(seconds: float) -> str:
    for unit, length in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
