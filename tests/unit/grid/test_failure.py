from __future__ import annotations

import pytest

from fscache.errors import HostDied, RemoteFailureError
from fscache.grid import failure
from fscache.grid.pickles import dumps, loads


def raised(exc: BaseException) -> BaseException:
    try:
        raise exc  # noqa: TRY301
    except BaseException as caught:  # noqa: BLE001
        return caught


def test_an_exception_keeps_type_arguments_and_notes_and_brings_its_traceback() -> None:
    there = failure.unpack(failure.pack(raised(KeyError("x")), "node", ("in t/3 on node",)))
    assert type(there) is KeyError
    assert there.args == ("x",)
    assert there.__notes__ == ["in t/3 on node"]
    assert "in raised" in str(there.__cause__)


def test_our_own_errors_come_as_they_are() -> None:
    there = failure.unpack(failure.pack(HostDied("gone", "n1", "a call"), "node"))
    assert isinstance(there, HostDied)
    assert (there.host, there.why) == ("n1", "gone")


def test_an_exception_that_cannot_be_made_again_comes_in_words() -> None:
    # Of a class made here: the engine, once imported, helps those that it finds to be made again.
    class AwkwardError(Exception):
        def __init__(self, first: int, second: int) -> None:
            super().__init__(f"{first} and {second}")

    there = failure.unpack(failure.pack(raised(AwkwardError(1, 2)), "node"))
    assert isinstance(there, RemoteFailureError)
    assert there.kind.endswith("AwkwardError")
    assert (there.host, there.why) == ("node", "1 and 2")


def test_an_exception_that_cannot_be_pickled_comes_in_words() -> None:
    exc = ValueError("bad")
    exc.args = ((value for value in ()),)
    there = failure.unpack(failure.pack(raised(exc), "node"))
    assert isinstance(there, RemoteFailureError)


def test_an_exception_without_a_usable_text_comes_too() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

        def __reduce__(self) -> str:
            raise TypeError

    there = failure.unpack(failure.pack(raised(MuteError()), "node"))
    assert "no words" in str(there)


def test_a_traceback_without_end_is_cut() -> None:
    def deeper(level: int) -> None:
        if level:
            deeper(level - 1)
        raise ValueError("x" * 100_000)

    with pytest.raises(ValueError, match="x") as caught:
        deeper(50)
    assert len(failure.pack(caught.value, "node")["traceback"]) < 21_000


def test_functions_of_scripts_and_lambdas_travel_by_value() -> None:
    three = 3
    assert loads(dumps(lambda x: x + three))(1) == 4
