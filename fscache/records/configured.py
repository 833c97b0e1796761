"""A root as the settings want it: its permissions, durability and split."""

from __future__ import annotations

from fscache.fs.atomic import Modes
from fscache.objects.layout import OBJECT_SPLIT, Split
from fscache.records.root import Root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

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
