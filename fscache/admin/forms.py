"""What an administrator's questions are answered with: plain mappings, the same for every asker.

The command line prints them with `--json`, a server sends them, `Cache.admin` returns them. Sizes are
bytes, times seconds since the epoch; what is not known is None. Pure.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fscache.admin.findings import Finding, Verified
    from fscache.admin.purge import Purged
    from fscache.admin.sums import Disk
    from fscache.objects.purge import Candidate
    from fscache.records.listing import Row
    from fscache.records.rebuild import Survey
    from fscache.records.usage import Sum, Usage

LISTED = (
    *("kind", "name", "address", "size", "disk", "accessed", "stored", "staged_by", "hits"),
    *("verified", "pinned", "leased"),
)
DISK_PARTS = ("objects", "directories", "entries", "tasks", "derived", "partial", "quarantine")


def listed(row: Row) -> dict[str, object]:
    """Return a line of a listing."""
    return {
        "kind": row.kind,
        "name": row.name,
        "address": row.address or None,
        "size": row.size,
        "disk": row.disk,
        "accessed": round(row.accessed, 3),
        "stored": round(row.stored, 3),
        "staged_by": row.by or None,
        "hits": row.hits,
        "verified": round(row.verified, 3) or None,
        "pinned": row.pinned,
        "leased": row.leased,
    }


def summed(total: Sum) -> dict[str, object]:
    """Return how much there is of something."""
    return {"count": total.count, "size": total.size, "disk": total.disk}


def used(usage: Usage, disk: Disk) -> dict[str, object]:
    """Return the sums of a root: in all, by kind, host and age, and what its parts take."""
    groups = {"kind": usage.kinds, "host": usage.hosts, "age": usage.ages}
    return {
        "total": summed(usage.total),
        **{
            group: {name: summed(total) for name, total in totals.items()}
            for group, totals in groups.items()
        },
        "disk": {"total": disk.total, **on_disk(disk)},
    }


def on_disk(disk: Disk) -> dict[str, int]:
    """Return what each part of a root takes of the disk."""
    return {part: getattr(disk, part) for part in DISK_PARTS}


def candidate(each: Candidate, name: str) -> dict[str, object]:
    """Return an object that goes, or would go."""
    return {
        "address": each.address,
        "size": each.size,
        "accessed": round(each.accessed, 3),
        "name": name or None,
    }


def purged(done: Purged, *, dry_run: bool) -> dict[str, object]:
    """Return what a purge did, or would do."""
    return {
        "dry_run": dry_run,
        "objects": done.taken,
        "freed": done.freed,
        "used": done.used,
        "short": done.short,
        "spared": done.spared,
    }


def finding(found: Finding) -> dict[str, object]:
    """Return a thing that is wrong."""
    return {
        "finding": found.what,
        "path": found.path,
        "names": list(found.names),
        "detail": found.detail,
        "repaired": found.repaired or None,
    }


def verified(done: Verified) -> dict[str, object]:
    """Return what a verification looked at."""
    return {
        "objects": done.objects,
        "hashed": done.hashed,
        "bytes": done.bytes,
        "entries": done.entries,
        "found": done.found,
        "repaired": done.repaired,
    }


def surveyed(found: Survey) -> dict[str, object]:
    """Return what a reindex found."""
    return {
        "objects": found.objects,
        "bytes": found.bytes,
        "entries": found.entries,
        "new": found.new,
        "gone": found.gone,
        "dangling": found.dangling,
        "strays": sorted(found.strays),
    }
