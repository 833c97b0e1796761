"""`fscache get` and `admin ls`, against a real server."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.origin import Origin, Page, failing, redirect
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.commands import Shell


def content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def test_a_url_is_fetched_once_and_then_here(shell: Shell, origin: Origin) -> None:
    body = os.urandom(1 << 20)
    url = origin.add("/dir/data.nc", body)
    assert shell.run("path", url).code == 3
    first = shell.run("get", url)
    assert first.code == 0
    assert re.fullmatch(rf"fetched {re.escape(url)} \(1\.0 MiB, .+/s\)\n", first.err)
    (path,) = first.lines
    assert content(path) == body
    second = shell.run("get", url)
    assert (second.lines, second.err) == ([path], "")
    assert shell.run("path", url).lines == [path]
    assert shell.run("get", "--offline", url).lines == [path]
    assert shell.run("cat", url).out == body
    assert len(origin.requests) == 1
    assert shell.run("forget", url).code == 0
    assert shell.run("path", url).code == 3
    assert shell.run("get", "--offline", url).code == 3
    assert len(origin.requests) == 1


def test_a_failure_behind_a_redirect_names_the_url_that_was_given(
    shell: Shell, origin: Origin
) -> None:
    there = origin.add("/there", failing(410))
    url = origin.add("/here", redirect(there))
    gone = "it is gone from the server (status 410)"
    assert shell.run("get", url).err.splitlines()[-1] == f"fscache: error: {url}: {there}: {gone}"
    told = json.loads(shell.run("get", url, "--json").err)["error"]
    assert (told["asked"], told["url"], told["message"]) == (url, there, f"{there}: {gone}")
    assert shell.run("get", there).err.splitlines()[-1] == f"fscache: error: {there}: {gone}"


def test_paths_come_in_the_order_of_the_urls_and_failures_apart(
    shell: Shell, origin: Origin
) -> None:
    urls = [origin.add(f"/{name}", name.encode()) for name in "abc"]
    missing = origin.url("/missing")
    broken = origin.add("/broken", failing(403))
    shell.run("get", urls[1])
    done = shell.run("get", "-q", urls[2], missing, urls[1], broken, urls[0])
    assert [content(path) for path in done.lines] == [b"c", b"b", b"a"]
    assert done.code == 3  # that of the first failure
    assert [re.split(": | \\(", line)[2:4] for line in done.err.splitlines()] == [
        [missing, "the server does not have it"],
        [broken, "the server refuses access"],
    ]


def test_json_has_one_object_a_line_for_results_and_for_errors(
    shell: Shell, origin: Origin
) -> None:
    url = origin.add("/a", b"four")
    done = shell.run("get", url, origin.url("/none"), "--json")
    (result,) = done.objects
    assert result == {"url": url, "path": result["path"], "size": 4}
    (error,) = done.errors
    assert error["exit_code"] == done.code == 3
    assert error["error"]["code"] == "not-found"
    assert error["error"]["url"] == origin.url("/none")
    assert error["error"]["status"] == 404


def test_copies_are_whole_and_their_own(shell: Shell, origin: Origin, tmp_path: Path) -> None:
    url = origin.add("/dir/data.nc?x=1", b"first")
    assert shell.run("get", url, "-o", "copy").lines == ["copy"]
    (tmp_path / "out").mkdir()
    done = shell.run("get", url, "--json", "-o", "out")
    assert done.objects[0]["output"] == "out/data.nc"
    path = done.objects[0]["path"]
    for copy in (tmp_path / "copy", tmp_path / "out" / "data.nc"):
        assert copy.read_bytes() == b"first"
        assert not os.path.samefile(copy, path)
        copy.write_bytes(b"edited")
    assert content(path) == b"first"
    assert shell.run("get", url, "-o", "copy").code == 0
    assert (tmp_path / "copy").read_bytes() == b"first"
    assert sorted(os.listdir(tmp_path / "out")) == ["data.nc"]
    failed = shell.run("get", url, "-o", "no/such/directory")
    assert (failed.code, failed.lines) == (3, [])
    directory = tmp_path / "no" / "such"
    assert failed.err == f"fscache: error: {directory}: No such file or directory\n"


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_dash_is_standard_output(
    shell: Shell, origin: Origin, tmp_path: Path, options: list[str]
) -> None:
    body = os.urandom(3_000_000)
    url = origin.add("/a", body)
    done = shell.run("get", url, "-o", "-", *options)
    assert (done.code, done.out) == (0, body)
    several = shell.run("get", url, origin.add("/b", b"b"), "-o", "-")
    assert (several.code, several.out) == (2, b"")
    assert not (tmp_path / "-").exists()


def test_a_checksum_is_checked(shell: Shell, origin: Origin) -> None:
    url = origin.add("/a", b"body")
    right, wrong = hashlib.sha256(b"body").hexdigest(), hashlib.sha256(b"x").hexdigest()
    done = shell.run("get", url, "--checksum", f"sha256:{wrong}")
    assert (done.code, done.lines) == (5, [])
    assert right in done.err
    assert shell.run("path", url).code == 3
    assert shell.run("get", url, "--checksum", f"sha256:{right}").code == 0
    assert shell.run("get", url, "--checksum", f"sha256:{right}").code == 0
    assert shell.run("get", url, "--checksum", f"sha256:{wrong}").code == 5


def test_a_mirror_is_asked_when_the_first_fails(shell: Shell, origin: Origin) -> None:
    good = origin.add("/good", b"body")
    bad = origin.url("/bad")
    done = shell.run("get", bad, "--mirror", origin.url("/worse"), "--mirror", good)
    assert done.code == 0, done.err
    assert shell.run("cat", bad).out == b"body"
    nowhere = shell.run("get", origin.url("/1"), "--mirror", origin.url("/2"))
    assert nowhere.code == 3


def test_a_changed_file_is_fetched_when_asked_about(shell: Shell, origin: Origin) -> None:
    url = origin.add("/a", Page(b"old"))
    assert shell.run("get", url).code == 0
    origin.add("/a", Page(b"new", last_modified="Thu, 02 Jan 2025 00:00:00 GMT"))
    for options, body in (
        ([], b"old"),
        (["--max-age", "1d"], b"old"),
        (["--revalidate"], b"new"),
        (["--max-age", "0"], b"new"),
    ):
        (path,) = shell.run("get", url, *options).lines
        assert content(path) == body
    assert shell.run("get", url, "--revalidate").err == f"up to date {url}\n"


def test_flipped_bytes_are_found_when_asked_for(shell: Shell, origin: Origin) -> None:
    url = origin.add("/a", b"good")
    (path,) = shell.run("get", url).lines
    status = os.stat(path)
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.write(b"evil")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    (path,) = shell.run("get", "--verify", url).lines
    assert content(path) == b"good"


def test_ctrl_c_exits_with_130_and_the_next_call_resumes(
    shell: Shell, origin: Origin, until: Callable[..., None]
) -> None:
    body = os.urandom(4 << 20)
    url = origin.add("/a", Page(body, stall_at=2 << 20), Page(body))
    with shell.start("get", url, start_new_session=True) as process:
        origin.wait_seen("/a")
        partial = f"{shell.home}/.cache/fscache/partial"
        until(lambda: _size(partial), "the first bytes")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert out == b""
    assert b"Traceback" not in err
    assert err.endswith(b"fscache: error: interrupted\n")
    (path,) = shell.run("get", url).lines
    assert content(path) == body
    assert origin.seen("/a")[-1].headers.get("range", "").startswith("bytes=")


def _size(directory: str) -> int:
    try:
        # Not of the note, which is there before the first byte.
        return sum(
            each.stat().st_size for each in os.scandir(directory) if each.name[-5:] == ".part"
        )
    except FileNotFoundError:
        return 0


def test_a_terminal_gets_bars_and_a_pipe_gets_paths_alone(
    shell: Shell, origin: Origin, until: Callable[..., None]
) -> None:
    body = os.urandom(4 << 20)
    names = ["first.nc", "second.nc", "third.nc"]
    urls = [origin.add(f"/{name}", Page(body, stall_at=1 << 20)) for name in names]
    terminal = Terminal(70, 24)
    try:
        with shell.start("get", *urls, stderr=terminal.stream) as process:
            until(lambda: terminal.read().count(" 25%") >= 3, "a quarter of each")
            until(lambda: len(terminal.screen()) == 4, "a line for each, and the sum")
            shown = terminal.screen()
            assert sorted(line.split()[0] for line in shown) == ["0/3", *names]
            assert all(len(line) < 70 for line in shown)
            origin.release.set()
            out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert [content(path) for path in out.decode().splitlines()] == [body] * 3
        (last,) = terminal.screen()
        assert last.startswith("3 files, 12.0 MiB in ")
    finally:
        terminal.close()


def test_what_another_process_fetches_is_told_as_such(
    shell: Shell, origin: Origin, until: Callable[..., None]
) -> None:
    body = os.urandom(2 << 20)
    url = origin.add("/a.nc", Page(body, gate=origin.release.wait))
    other = origin.add("/b.nc", b"four")
    terminal = Terminal(70, 24)
    try:
        with shell.start("get", url) as first:
            origin.wait_seen("/a.nc")
            with (
                shell.start("get", url, stderr=terminal.stream) as shown,
                shell.start("get", url, other) as piped,
            ):
                until(lambda: "waiting for another process" in terminal.read(), "a line of it")
                assert terminal.screen()[0].split(maxsplit=1)[0] == "a.nc"
                origin.wait_seen("/b.nc")  # asked for when both were missing
                origin.release.set()
                done = [process.communicate(timeout=60) for process in (first, shown, piped)]
        assert [content(out.decode().splitlines()[0]) for out, _ in done] == [body] * 3
        assert len(origin.seen("/a.nc")) == 1
        (last,) = terminal.screen()
        assert last.startswith("1 file, 1 by another process, 2.0 MiB in ")
        assert done[0][1].decode().startswith(f"fetched {url} (2.0 MiB")
        *lines, summary = done[2][1].decode().splitlines()
        assert f"fetched by another process {url} (2.0 MiB)" in lines
        assert summary.startswith("2 files, 1 by another process, 2.0 MiB in ")
    finally:
        terminal.close()


def test_the_listing_is_ordered_as_asked(shell: Shell, origin: Origin) -> None:
    sizes = {"/large": 1000, "/small": 10, "/middle": 100}
    urls = {path: origin.add(path, os.urandom(size)) for path, size in sizes.items()}
    paths = {path: shell.run("get", "-q", url).lines[0] for path, url in urls.items()}

    def listed(*options: str) -> list[str]:
        rows = shell.run("admin", "ls", "--json", *options).objects
        return [row["name"].removeprefix(origin.base) for row in rows]

    assert listed() == ["/middle", "/small", "/large"]
    assert listed("--sort", "atime", "--reverse") == ["/large", "/small", "/middle"]
    assert listed("--sort", "size") == ["/large", "/middle", "/small"]
    assert listed("--sort", "age") == ["/large", "/small", "/middle"]
    assert listed("--sort", "name") == ["/large", "/middle", "/small"]
    assert listed("--sort", "size", "--limit", "1") == ["/large"]
    heading, first, *_ = shell.run("admin", "ls", "--sort", "size").lines
    assert " ".join(heading.split()) == "ACCESSED STORED SIZE HITS KEPT BY ADDRESS NAME"
    accessed, _, size, _, _, _, address, url = first.split()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", accessed)
    assert (size, url) == ("1000", urls["/large"])
    assert shell.run("path", address).lines == [paths["/large"]]
