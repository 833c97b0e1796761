"""Roots with one of each thing that `admin verify` finds."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fscache.admin import findings
from fscache.admin.repair import Repairer
from fscache.admin.verify import Selection, Verifier
from tests.support import damage
from tests.support.catalogs import keeper_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from fscache.admin.findings import Finding, Verified
    from fscache.cache import Cache
    from fscache.records.root import Root

WEEKS_AGO = 20 * 86400.0


@dataclass
class Wreck:
    """A root, and where it is damaged: path by finding."""

    root: Root
    places: dict[str, str] = field(default_factory=dict)


def verify(
    root: Root,
    *,
    selection: Selection = Selection(),  # noqa: B008 - it cannot be changed
    random: Random | None = None,
    refetch: Callable[[str], object] | None = None,
) -> tuple[list[Finding], Verified]:
    """Verify, and repair where there is a way to fetch; return what was found."""
    keeper = keeper_of(root)
    verifier = Verifier(keeper, selection=selection, random=random)  # type: ignore[arg-type]
    found = []
    repairer = None if refetch is None else Repairer(keeper, refetch)
    for finding in verifier.run():
        if repairer is not None:
            repairer.repair(finding)
        found.append(finding)
    return found, verifier.done


def wreck(cache: Cache, urls: list[str]) -> Wreck:
    """Damage a cache that has these seven URLs, one thing of each kind."""
    root = cache.root
    places: dict[str, str] = {}
    paths = [str(cache.path(url)) for url in urls]

    damage.flip(paths[0], 3, keep_times=True)
    places[findings.FLIPPED] = paths[0]

    with open(paths[1], "rb") as file:
        body = file.read()
    damage.overwrite(paths[1], body[:-1])
    places[findings.TRUNCATED] = paths[1]

    # The third's name leads to the bytes of the fourth.
    with open(paths[3], "rb") as file:
        other = file.read()
    os.unlink(paths[2])
    with open(paths[2], "wb") as file:
        file.write(other)
    os.chmod(paths[2], 0o444)
    places[findings.MISNAMED] = paths[2]

    os.unlink(paths[4])
    source = keeper_of(root).sources["url"]
    assert source.look(urls[4]) is not None
    entries = root.entries("urls", b"url")
    places[findings.DANGLING] = entries.path(urls[4].encode())

    bad = entries.path(urls[5].encode())
    damage.flip(bad, -1)
    places[findings.BAD_ENTRY] = bad

    stray = f"{root.path}/objects/README"
    with open(stray, "wb") as file:
        file.write(b"somebody thought this was a good place")
    places[findings.STRAY] = stray

    # Put there by other means, and long before the verification begins.
    keeper_of(root).open().close()
    orphan = root.objects().put_bytes(b"rsynced")
    places[findings.ORPHANED] = orphan.path
    time.sleep(1.1)  # what is younger than a second may be a put under way

    leftover = f"{root.path}/partial/{'0' * 20}.part"
    with open(leftover, "wb") as file:
        file.write(b"half")
    then = time.time() - WEEKS_AGO
    os.utime(leftover, (then, then))
    places[findings.LEFTOVER] = leftover
    return Wreck(root, places)
