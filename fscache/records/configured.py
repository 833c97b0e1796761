"""The roots as the settings want them: permissions, durability and split; the tiers that can be read."""

from __future__ import annotations

from fscache.fs.atomic import Modes
from fscache.objects.layout import OBJECT_SPLIT, Split
from fscache.records.root import Root
from fscache.telling import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fscache.config import Config


def configured_root(path: str, config: Config, now: Callable[[], float]) -> Root:
    """Open the root at `path`, an absolute path; errors as of `Root`, and ConfigError."""
    return Root(
        path,
        now=now,
        modes=_modes(config),
        durable=config.durability == "power",
        object_split=OBJECT_SPLIT if config.split == "4+4+12" else Split.parse(config.split),
    )


def configured_tiers(paths: Sequence[str], now: Callable[[], float]) -> list[Root]:
    """Return the tiers that can be read: a broken one must not keep anyone from the others."""
    tiers = []
    for path in paths:
        try:
            tiers.append(Root(path, now=now))
        except Exception as exc:
            from fscache.errors import StoreError  # a hit does without the errors

            if not isinstance(exc, StoreError):
                raise
            warn("tier passed over: %s", exc)
    return tiers


def _modes(config: Config) -> Modes:
    if config.group is None:
        return Modes(world_readable=config.world_readable)
    import grp

    try:
        gid = grp.getgrnam(config.group).gr_gid
    except KeyError:
        from fscache.errors import ConfigError

        raise ConfigError(
            name="group", source="configuration", why=f"there is no group {config.group}"
        ) from None
    return Modes(gid, world_readable=config.world_readable)
