"""A store's serializer on its way to another process: most are modules, which pickle refuses."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fscache.kv.codec import Serializer


def name_of(serializer: Serializer | None) -> Serializer | str | None:
    """Return a module's name, anything else as it is."""
    return serializer.__name__ if isinstance(serializer, ModuleType) else serializer


def of_name(given: Serializer | str | None) -> Serializer | None:
    """Return the serializer that `name_of` was given."""
    if not isinstance(given, str):
        return given
    module: Serializer = import_module(given)
    return module
