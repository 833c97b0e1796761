"""Making the catalog anew from the files, while the cache is in use.

Nothing is locked but the making of catalogs: where the journal ends is noted first, then the files are
walked, then what was appended meanwhile is folded in. The new file takes the old one's name when it is
whole; on any error, a full disk above all, it is removed and nothing has changed.
"""

from __future__ import annotations

import os
from itertools import islice

from fscache.records import objectrows, schema
from fscache.records.fold import Folder, fold, write_positions
from fscache.records.journal import COMPLETE
from fscache.records.piecework import Shared
from fscache.records.rows import NEW_ENTRY, NEW_OBJECT, add_new, block_size, entry_row
from fscache.records.segments import ends, journal_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fscache.records.piecework import Rows, Share
    from fscache.records.root import Root
    from fscache.records.sources import Named, Source

    Progress = Callable[[str, int, int], None]


class Survey:
    """What a rebuild found."""

    __slots__ = ("bytes", "dangling", "entries", "gone", "new", "objects", "strays")

    def __init__(self) -> None:
        """Begin with nothing."""
        self.objects = 0
        self.bytes = 0
        self.entries: dict[str, int] = {}
        self.dangling = 0
        self.strays: list[str] = []  # what is no object below `objects/`, in no order
        self.new: int | None = None  # objects that the catalog before did not know
        self.gone: int | None = None  # those it knew that are not there


def rebuild(
    root: Root,
    sources: Mapping[str, Source],
    *,
    target: str,
    old: str | None,
    progress: Progress | None = None,
) -> tuple[schema.Connection, Survey]:
    """Fill an empty catalog from the files, and fold in what happened meanwhile.

    Args:
        root: Whose files.
        sources: Its kinds of entries.
        target: The new file, empty text for a private one; on an error the caller removes it.
        old: A readable catalog, for what the files do not tell: hits, times of verification.
        progress: Called with the phase, what is done of it and how much there is, 0 if nobody knows.
    """
    directory = f"{root.path}/journal"
    survey = Survey()
    positions = ends(directory)
    known_id = journal_id(directory)
    root.wait_for_writers()  # what was recorded before `positions` is there to be walked
    block = block_size(root)
    show = progress or _show_nothing
    db = schema.create(target)
    try:
        _read_all(db, sources, objectrows.share(root, survey.strays), block, show)
        show("index", 0, 1)
        if old is not None:
            _carry_over(db, old, root.now(), survey)
        schema.finish(db)
        show("index", 1, 1)
        _match(db, survey, block)
        db.execute("BEGIN IMMEDIATE")
        write_positions(db, positions)
        db.execute("INSERT OR REPLACE INTO meta VALUES ('journal', ?)", (known_id,))
        if known_id:
            fold(Folder(db, root, sources), db, directory)
        db.execute("COMMIT")
        survey.objects, survey.bytes = db.execute(
            "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM objects"
        ).fetchone()
        survey.entries = dict(db.execute("SELECT kind, COUNT(*) FROM entries GROUP BY kind"))
    except BaseException:
        db.close()
        raise
    return db, survey


def begin_journal(root: Root) -> None:
    """Call the journal complete from here on: what was before is found by the walk that follows."""
    root.writer.write(
        f"{root.path}/journal/{COMPLETE}", os.urandom(8).hex().encode("ascii"), replace=False
    )


_STEP = 100  # entries between two looks at what the helper has, and two words about the progress


def _read_all(
    db: schema.Connection,
    sources: Mapping[str, Source],
    objects: Share,
    block: int,
    show: Progress,
) -> None:
    """Fill the tables."""
    shares = {kind: source.share(block) for kind, source in sources.items()}

    def write(some: Iterator[tuple[Share, Rows]]) -> None:
        for share, rows in some:
            add_new(db, NEW_OBJECT if share is objects else NEW_ENTRY, rows)

    db.execute("BEGIN")
    with Shared([*filter(None, shares.values()), objects]) as shared:
        # What nobody shares comes first: a helper is at the rest meanwhile.
        for kind in (kind for kind, share in shares.items() if share is None):
            named = _counted(sources[kind].scan(), kind, show)
            while some := list(islice(named, _STEP)):
                add_new(db, NEW_ENTRY, [entry_row(kind, each, block) for each in some])
                write(shared.ready())
        write(shared.rest(show))
    db.execute("COMMIT")


def _counted(scan: Iterator[Named], kind: str, show: Progress) -> Iterator[Named]:
    """Yield what a scan yields, and show how many that were."""
    count = 0
    for named in scan:
        count += 1
        if not count % _STEP:
            show(kind, count, 0)
        yield named
    show(kind, count, count)


def _show_nothing(_phase: str, _done: int, _total: int) -> None:
    pass


def _match(db: schema.Connection, survey: Survey, block: int) -> None:
    """Bring entries in line with their objects."""
    survey.dangling = db.execute(
        "DELETE FROM entries WHERE address IS NOT NULL"
        " AND address NOT IN (SELECT address FROM objects)"
    ).rowcount
    if db.execute(
        "SELECT EXISTS (SELECT 1 FROM objects WHERE disk != (size + ? - 1) / ? * ?)", (block,) * 3
    ).fetchone()[0]:  # a file system that compresses, or files with holes
        db.execute(
            "UPDATE entries SET disk = o.disk FROM objects AS o"
            " WHERE o.address = entries.address AND o.disk != entries.disk"
        )


def _carry_over(db: schema.Connection, old: str, now: float, survey: Survey) -> None:
    """Take over what the files do not tell; an old catalog that cannot be read has nothing to say."""
    try:
        schema.attach(db, old, "old")
    except schema.DamagedError:
        return
    try:
        survey.new, survey.gone = db.execute(
            "SELECT COUNT(*) - known, (SELECT COUNT(*) FROM old.objects) - known"
            " FROM objects, (SELECT COUNT(*) AS known FROM objects JOIN old.objects USING (address))"
        ).fetchone()
        db.execute("BEGIN")
        db.execute(
            "UPDATE objects SET hits = o.hits, verified = o.verified,"
            " accessed = max(objects.accessed, min(o.accessed, ?))"
            " FROM old.objects AS o WHERE o.address = objects.address AND o.size = objects.size"
            " AND (o.hits OR o.verified OR o.accessed > objects.accessed)",
            (now,),
        )
        db.execute("COMMIT")
    except schema.DamagedError:
        survey.new = survey.gone = None
    finally:
        db.execute("DETACH old")
