"""`fscache admin migrate`: bring older stores into the cache, or change how it splits addresses.

MIGRATION.md says for each format what moves, how to resume and how to go back.
"""

from __future__ import annotations

import os
import sys

from fscache.cli import keeping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session
    from fscache.migrate.beside import Besides
    from fscache.migrate.item import Passed
    from fscache.migrate.migration import Migrated, Migration
    from fscache.migrate.urls import URLList
    from fscache.records.root import Root

_SHOWN = 20


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    from fscache.migrate.readers import FILES, READERS

    parser.add_argument(
        "source",
        metavar="SOURCE",
        nargs="?",
        help="the old store: a directory, a metastore's file, or ipyparallel's tasks.db",
    )
    parser.add_argument(
        "--from",
        dest="format",
        choices=[*READERS, *FILES],
        help="its format (default: found out)",
    )
    parser.add_argument(
        "--urls", metavar="FILE", help="what its files stand for: lines of [NAME [CHECKSUM]] URL"
    )
    parser.add_argument(
        "--base-url", metavar="URL", default="", help="for names in --urls that have no URL"
    )
    parser.add_argument("--copy", action="store_true", help="make no hard links")
    parser.add_argument(
        "--split",
        metavar="N+N",
        help="without SOURCE: change the split of the root's objects, in place",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would move; change nothing"
    )
    parser.add_argument(
        "--remove-source",
        action="store_true",
        help="then remove from the old place what was brought over",
    )


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    _check(arguments)
    if arguments.source is None:
        return _resplit(session, arguments)
    source = os.path.abspath(arguments.source)
    from fscache.migrate.readers import FILES, detect

    form = arguments.format or detect(source)
    if not session.json:
        keeping.note(f"{source} is read as {form}")
    if form in FILES:
        take = _import_tasks if form == "ipyparallel" else _import_keys
        return take(session, source, arguments)
    from fscache.migrate.migration import Migration

    urls = _urls(arguments)
    work = Migration(session.cache.root, source, form, urls)
    code = _plan(session, work) if arguments.dry_run else _migrate(session, work, arguments)
    if (unused := urls.unused) and not session.json:
        keeping.note(f"{arguments.urls}: {len(unused)} stand for no file there: {unused[0]} …")
    return code


def _check(arguments: Namespace) -> None:
    """Refuse options that do not go together, instead of passing over them."""
    from fscache.cli.exits import UsageError

    if arguments.source == "":  # of a variable that is not set: not the working directory
        raise UsageError("fscache admin migrate", "SOURCE is empty")
    if (arguments.source is None) == (arguments.split is None):
        raise UsageError("fscache admin migrate", "give either SOURCE or --split")
    given = {
        "--from": arguments.format,
        "--urls": arguments.urls,
        "--base-url": arguments.base_url,
        "--copy": arguments.copy,
    }
    needless = [option for option, value in given.items() if value]
    if arguments.source is None and needless:
        raise UsageError("fscache admin migrate", f"{needless[0]} says something about a SOURCE")
    if arguments.base_url and not arguments.urls:
        raise UsageError("fscache admin migrate", "--base-url is for the names in --urls")


def _migrate(session: Session, work: Migration, arguments: Namespace) -> int:
    import socket

    from fscache.admin.face import user
    from fscache.cli.exits import OK, UNEXPECTED

    done = work.run(
        by=f"{user()}@{socket.gethostname()}",
        link=not arguments.copy,
        remove=arguments.remove_source,
        report=lambda passed: _report(session, passed),
    )
    _summary(session, done)
    return UNEXPECTED if done.passed else OK


def _import_keys(session: Session, source: str, arguments: Namespace) -> int:
    from fscache.migrate import metastore

    if arguments.dry_run:
        session.emit(f"{source} would be imported as key-values", {"dry_run": True})
        return 0
    count = metastore.import_file(source, session.cache.kv)
    session.emit(f"{count} keys from {source}", {"keys": count})
    if arguments.remove_source:
        from fscache.fs.atomic import remove

        remove(source)
    return 0


def _import_tasks(session: Session, source: str, arguments: Namespace) -> int:
    from fscache.cli.exits import OK, UNEXPECTED
    from fscache.migrate import taskdb
    from fscache.migrate.item import Passed

    if arguments.dry_run:
        done = taskdb.count(source)
    else:
        done = taskdb.import_file(
            source,
            session.cache.tasks,
            lambda msg_id, why: _report(session, Passed(f"{source}: task {msg_id}", why)),
        )
    text = f"{done.records} tasks of {done.tables} tables"
    text += " would be imported" if arguments.dry_run else ""
    text += f"; {done.again} had been imported before" if done.again else ""
    text += f"; {done.passed} stay" if done.passed else ""
    fields: dict[str, object] = {"tasks": done.records, "tables": done.tables}
    if arguments.dry_run:
        fields["dry_run"] = True
    else:
        fields |= {"again": done.again, "passed": done.passed}
    session.emit(text, fields)
    if arguments.remove_source and not arguments.dry_run and not done.passed:
        from fscache.fs.atomic import remove

        remove(source)
    return UNEXPECTED if done.passed else OK


def _plan(session: Session, work: Migration) -> int:
    from fscache.migrate import item
    from fscache.units import format_size
    from fscache.urls.bars import printable

    files = size = urls = passed = 0
    for each in work.found():
        if isinstance(each, item.Passed):
            passed += 1
            _report(session, each)
            continue
        files += 1
        size += os.stat(each.path).st_size
        urls += len(each.urls)
        if session.json:
            session.emit("", {"path": each.path, "urls": list(each.urls)})
        elif files <= _SHOWN or not sys.stdout.isatty():
            session.emit(printable(f"{each.path}  {' '.join(each.urls) or '(no URL)'}"), {})
    besides = work.besides()
    text = f"{files} files ({format_size(size)}) would move, with {urls} URLs{_named(besides)}"
    fields = {"dry_run": True, "files": files, "bytes": size, "urls": urls, "passed": passed}
    session.emit(f"{text}; {passed} would stay", fields | _counts(besides))
    return 0


def _resplit(session: Session, arguments: Namespace) -> int:
    from fscache.cli.exits import OK, UsageError
    from fscache.migrate.resplit import Resplit
    from fscache.objects.layout import Split

    try:
        split = Split.parse(arguments.split)
    except ValueError as exc:
        why = f"--split: not parts of 20 digits, such as 2+18: {arguments.split!r}"
        raise UsageError("fscache admin migrate", why) from exc
    hand = keeping.keeper(session)
    root: Root = hand.root
    work = Resplit(root, split, progress=hand.progress)
    old = str(root.object_split)
    if arguments.dry_run:
        count = work.count()
        text = f"{count} objects would move from {old} to {split}"
        session.emit(text, {"dry_run": True, "objects": count, "from": old, "to": str(split)})
        return OK
    work.run()
    if arguments.remove_source:
        work.remove_old()
    text = f"objects are split {split} (before: {old}); {work.linked} new names"
    text += f", {work.removed} old ones removed" if arguments.remove_source else ", old ones kept"
    fields = {"from": old, "to": str(split), "linked": work.linked, "removed": work.removed}
    session.emit(text, fields)
    return OK


def _urls(arguments: Namespace) -> URLList:
    from fscache.migrate.urls import URLList

    if arguments.urls is None:
        return URLList()
    with open(arguments.urls, encoding="utf-8-sig", errors="surrogateescape") as file:
        try:
            return URLList.parse(file, arguments.base_url)
        except ValueError as exc:
            from fscache.cli.exits import UsageError

            raise UsageError("fscache admin migrate", f"{arguments.urls}: {exc}") from exc


def _report(session: Session, passed: Passed) -> None:
    if session.json:
        session.emit("", {"path": passed.path, "passed": passed.why})
    else:
        keeping.note(f"stays: {passed.path}: {passed.why}")


def _summary(session: Session, done: Migrated) -> None:
    from fscache.units import format_size

    moved = done.moved
    how = ", ".join(f"{count} by {way}" for way, count in sorted(moved.how.items()))
    text = f"{moved.files} files ({format_size(moved.bytes)}), {moved.urls} URLs"
    text += _named(done.besides)
    text += f"; {how}" if how else ""
    text += f"; {moved.again} had been brought over before" if moved.again else ""
    text += f"; {done.passed} stay" if done.passed else ""
    text += f"; {moved.removed} removed from the old place" if moved.removed else ""
    fields = {
        "files": moved.files,
        "bytes": moved.bytes,
        "urls": moved.urls,
        "how": moved.how,
        "again": moved.again,
        "passed": done.passed,
        "removed": moved.removed,
    }
    session.emit(text, fields | _counts(done.besides))


def _counts(besides: Besides) -> dict[str, object]:
    return {"keys": besides.keys, "task_segments": besides.segments, "pins": besides.pins}


def _named(besides: Besides) -> str:
    named = (
        (besides.keys, "keys"),
        (besides.segments, "segments of task records"),
        (besides.pins, "pins"),
    )
    return "".join(f", {count} {what}" for count, what in named if count)
