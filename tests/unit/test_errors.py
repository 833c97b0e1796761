"""Promises of the one exception tree."""

from __future__ import annotations

import copy
import pickle
import re
from dataclasses import MISSING, fields
from typing import Any

import pytest

import fscache.errors
from credentials.errors import FscacheError

EVERY = sorted(
    {
        one
        for one in vars(fscache.errors).values()
        if isinstance(one, type) and issubclass(one, FscacheError)
    },
    key=lambda one: one.__name__,
)
SAMPLES = {
    "int": 7,
    "float": 1.5,
    "float | None": 1.5,
    "bool": True,
    "str | None": "text",
    "tuple[FscacheError, ...]": (fscache.errors.LengthError("https://h/", 2, 1),),
    "tuple[str, ...]": ("a", "b"),
}


def sample(kind: type[FscacheError]) -> FscacheError:
    """Make an error with a value of the right type in every field."""
    return kind(**{field.name: SAMPLES.get(str(field.type), field.name) for field in fields(kind)})


def drawn() -> dict[str, tuple[str, str | None]]:
    """The tree as its docstring draws it: name → (parent, further base)."""
    found: dict[str, tuple[str, str | None]] = {}
    above: list[str] = []
    for line in (fscache.errors.__doc__ or "").splitlines():
        match = re.fullmatch(r"    ((?:[│ ]   )*)(?:├── |└── )?(\w+)(?: \((\w+)\))?", line)
        if match is None:
            continue
        depth = 0 if "──" not in line else len(match.group(1)) // 4 + 1
        del above[depth:]
        found[match.group(2)] = (above[-1] if above else "Exception", match.group(3))
        above.append(match.group(2))
    return found


def test_the_tree_is_as_it_is_drawn() -> None:
    real = {}
    for one in EVERY:
        first, *others = one.__bases__
        real[one.__name__] = (first.__name__, others[0].__name__ if others else None)
        assert len(others) <= 1, one
    assert real == drawn()


def test_all_that_is_drawn_is_exported_and_nothing_else() -> None:
    assert fscache.errors.__all__ == sorted(fscache.errors.__all__)
    assert set(fscache.errors.__all__) == set(drawn())


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [one.code for one in EVERY]
    assert len(set(codes)) == len(codes), sorted(c for c in codes if codes.count(c) > 1)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes), codes
    assert all("code" in vars(one) for one in EVERY)


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_every_error_crosses_processes_unchanged(kind: type[FscacheError]) -> None:
    error = sample(kind)
    for again in (
        *(pickle.loads(pickle.dumps(error, protocol)) for protocol in range(2, 6)),
        copy.copy(error),
    ):
        assert type(again) is kind
        assert repr(again.to_fields()) == repr(error.to_fields())
        assert str(again) == str(error)


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_every_error_says_something_of_each_field_that_has_no_default(
    kind: type[FscacheError],
) -> None:
    text = str(sample(kind))
    assert text
    assert "{" not in text
    assert "\n" not in text
    if kind.__str__ is FscacheError.__str__ and kind is not FscacheError:
        used = set(re.findall(r"{(\w+)", kind.message))
        assert used <= {field.name for field in fields(kind)}
        assert used or not fields(kind)


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_every_error_can_be_made_by_keywords_and_by_position(kind: type[FscacheError]) -> None:
    values: list[Any] = list(sample(kind).to_fields().values())
    assert list(kind(*values).to_fields().values()) == values
    needed = [f for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]
    if needed:
        with pytest.raises(TypeError):
            kind()


def test_errors_are_compared_and_caught_by_identity_and_type() -> None:
    one, other = sample(fscache.errors.LengthError), sample(fscache.errors.LengthError)
    assert one != other
    assert {one, other}
    with pytest.raises(TimeoutError):
        raise sample(fscache.errors.LockTimeoutError)
    with pytest.raises(LookupError):
        raise sample(fscache.errors.OfflineError)
    with pytest.raises(PermissionError):
        raise sample(fscache.errors.RootPermissionError)
