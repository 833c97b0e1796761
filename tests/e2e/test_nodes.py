"""A cluster in small: a data server, and nodes: processes with roots, networks, mounts of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import fscache
from fscache import errors
from fscache.remote.cache import RemoteCache
from tests.support.origin import Origin, Page
from tests.support.servers import DEADLINE, Daemon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MIB = 1 << 20


def run_node(code: str, *arguments: object, prefix: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Start a program on "another node"; it prints one line of JSON."""
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> dict[str, object]:
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    found: dict[str, object] = json.loads(out.splitlines()[-1])
    return found


NODE = """
    import hashlib, json, sys
    from fscache.remote.cache import RemoteCache
    address, token, root, url = sys.argv[1:5]
    with RemoteCache(address, token=token or None, root=root) as cache:
        path = cache.get(url)
        data = open(path, "rb").read()
        again = cache.get(url) == path
    print(json.dumps({"path": str(path), "sha": hashlib.sha256(data).hexdigest(), "again": again}))
"""


def sha(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


# -- one transfer for all ---------------------------------------------------------------------


def test_200_askers_of_one_url_make_one_get_and_each_has_the_bytes(
    tmp_path: Path, origin: Origin
) -> None:
    body = os.urandom(50 * MIB)
    url = origin.add("/big", body)
    program = """
        import hashlib, json, sys, threading
        from fscache.remote.cache import RemoteCache
        address, token, top, url, count = sys.argv[1:6]
        found = []
        def one(number):
            try:
                with RemoteCache(address, token=token, root=f"{top}/{number}", shared=False) as cache:
                    path = cache.get(url)
                    with open(path, "rb") as file:
                        found.append(hashlib.file_digest(file, "sha256").hexdigest())
                    path.unlink()  # 200 copies of 50 MiB would fill a small machine
            except Exception as error:
                found.append(repr(error))
        threads = [threading.Thread(target=one, args=(n,)) for n in range(int(count))]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        print(json.dumps({"count": len(found), "sums": sorted(set(found))}))
    """
    with Daemon(tmp_path / "served") as daemon:
        nodes = [
            run_node(program, daemon.address, daemon.token(), tmp_path / f"n{n}", url, 25)
            for n in range(8)
        ]
        answers = [said(node) for node in nodes]
    assert answers == [{"count": 25, "sums": [sha(body)]}] * 8
    assert len(origin.seen("/big")) == 1


# -- the cases of a cluster -------------------------------------------------------------------


def test_a_node_that_sees_the_servers_root_gets_its_path(tmp_path: Path, origin: Origin) -> None:
    url = origin.add("/a", b"abc")
    with Daemon(tmp_path / "served") as daemon:
        answer = said(run_node(NODE, daemon.address, daemon.token(), tmp_path / "own", url))
    assert str(answer["path"]).startswith(str(tmp_path / "served"))
    assert answer["sha"] == sha(b"abc")
    assert not (tmp_path / "own/objects").exists() or not list((tmp_path / "own/objects").iterdir())


def test_a_copy_of_the_root_is_not_taken_for_the_servers(tmp_path: Path, origin: Origin) -> None:
    with Daemon(tmp_path / "served") as daemon:
        (tmp_path / "copy").mkdir()
        shutil.copytree(tmp_path / "served", tmp_path / "copy/root", dirs_exist_ok=True)
        daemon.kill(signal.SIGTERM)
    with Daemon(tmp_path / "served") as daemon, daemon.remote(tmp_path / "copy/root") as node:
        # The copy carries the number of an earlier start.
        os.rename(tmp_path / "served/locks/server", tmp_path / "hidden")
        path = node.get(origin.add("/a", b"abc"))
        assert str(path).startswith(str(tmp_path / "copy/root"))


def _can(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


needs_mounts = pytest.mark.skipif(
    not _can(["unshare", "-m", "true"]), reason="no mount namespaces for this user"
)
needs_networks = pytest.mark.skipif(
    not _can(["unshare", "-n", "ip", "link", "set", "lo", "up"]), reason="no network namespaces"
)


@needs_mounts
def test_a_node_with_a_disk_of_its_own_pulls_into_its_root(tmp_path: Path, origin: Origin) -> None:
    body = os.urandom(3 * MIB)
    url = origin.add("/a", body)
    with Daemon(tmp_path / "served") as daemon:
        token = daemon.token()
        hide = [
            "unshare",
            "-m",
            "sh",
            "-c",
            f'mount -t tmpfs none {tmp_path}/served && exec "$@"',
            "-",
        ]
        node = run_node(NODE, daemon.address, token, tmp_path / "own", url, prefix=hide)
        answer = said(node)
        assert str(answer["path"]).startswith(str(tmp_path / "own"))
        assert (answer["sha"], answer["again"]) == (sha(body), True)
    # The server is gone now: what the node holds needs nobody.
    answer = said(run_node(NODE, daemon.address, token, tmp_path / "own", url))
    assert answer["sha"] == sha(body)
    assert len(origin.seen("/a")) == 1


@pytest.fixture
def subnet() -> Iterator[tuple[str, str]]:
    """A network namespace with a link to this host: its name, and this host's address on the link."""
    tag = f"fsc{os.getpid() % 100000}"
    third = 64 + os.getpid() % 128
    here, there = f"10.213.{third}.1", f"10.213.{third}.2"
    setup = [
        ["ip", "netns", "add", tag],
        ["ip", "link", "add", f"{tag}a", "type", "veth", "peer", "name", f"{tag}b", "netns", tag],
        ["ip", "addr", "add", f"{here}/30", "dev", f"{tag}a"],
        ["ip", "link", "set", f"{tag}a", "up"],
        ["ip", "-n", tag, "addr", "add", f"{there}/30", "dev", f"{tag}b"],
        ["ip", "-n", tag, "link", "set", f"{tag}b", "up"],
    ]
    try:
        for command in setup:
            if not _can(command):
                pytest.skip(f"cannot: {' '.join(command)}")
        yield tag, here
    finally:
        subprocess.run(["ip", "netns", "del", tag], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", f"{tag}a"], capture_output=True, check=False)


@needs_networks
@needs_mounts
@pytest.mark.parametrize("routed", [False, True], ids=["no-route-to-the-origin", "a-route-to-it"])
def test_a_machine_of_the_subnet_has_the_server_fetch(
    tmp_path: Path, subnet: tuple[str, str], routed: bool
) -> None:
    name, here = subnet
    # An origin at the server's loopback cannot be reached from the node; one at the link could be.
    with Origin(host=here if routed else "127.0.0.1") as origin:
        url = origin.add("/a", b"abc" * 1000)
        with Daemon(tmp_path / "served", "--host", here) as daemon:
            hide = f'mount -t tmpfs none {tmp_path}/served && exec "$@"'
            prefix = ["ip", "netns", "exec", name, "unshare", "-m", "sh", "-c", hide, "-"]
            token = daemon.token()
            node = run_node(NODE, daemon.address, token, tmp_path / "own", url, prefix=prefix)
            answer = said(node)
        assert answer["sha"] == sha(b"abc" * 1000)
        assert str(answer["path"]).startswith(str(tmp_path / "own"))
        assert len(origin.seen("/a")) == 1


@pytest.mark.parametrize("muted", [False, True], ids=["watched", "observer-muted"])
def test_a_node_with_a_shared_file_system_only_asks_by_the_spool(
    tmp_path: Path, origin: Origin, muted: bool
) -> None:
    url = origin.add("/a", b"abc")
    # Watched, the scan comes far too late to be what finds it; muted, it is all there is.
    arguments = ["--no-watch", "--scan-interval", "0.2"] if muted else ["--scan-interval", "3600"]
    with (
        Daemon(tmp_path / "served", *arguments),
        RemoteCache(f"spool:{tmp_path}/served", root=tmp_path / "own") as node,
    ):
        path = node.get(url, timeout=DEADLINE)
        assert path.read_bytes() == b"abc"
        assert str(path).startswith(str(tmp_path / "served"))
        with pytest.raises(errors.NotFoundError):
            node.get(origin.url("/nothing"), timeout=DEADLINE)
        with pytest.raises(errors.ServerUnreachableError):
            node.put(b"x")


def test_the_module_functions_go_where_use_remote_says(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = origin.add("/a", b"abc")
    with Daemon(tmp_path / "served") as daemon:
        monkeypatch.setenv("FSCACHE_ROOT", str(tmp_path / "own"))
        monkeypatch.setattr(fscache, "_cache", None)
        fscache.use_remote(f"token:{daemon.token()}@127.0.0.1", daemon.port)
        try:
            assert fscache.get(url).read_bytes() == b"abc"
            fscache.kv.put("k", [1, 2])
            assert fscache.kv.get("k") == [1, 2]
        finally:
            fscache.default().close()
        monkeypatch.setattr(fscache, "_cache", None)
        (tmp_path / "token").write_text(daemon.token())
        monkeypatch.setenv("FSCACHE_SERVER", daemon.address)
        monkeypatch.setenv("FSCACHE_TOKEN_FILE", str(tmp_path / "token"))
        try:
            assert fscache.kv.get("k") == [1, 2]
        finally:
            fscache.default().close()


# -- life -------------------------------------------------------------------------------------


def test_kill_and_restart_lose_no_request_and_fetch_no_byte_twice(
    tmp_path: Path, origin: Origin, until: Callable[..., None]
) -> None:
    body = os.urandom(8 * MIB)
    url = origin.add("/big", Page(body, stall_at=5 * MIB), Page(body))
    late = [origin.add(f"/q{n}", b"%d" % n) for n in range(3)]
    found: list[object] = []
    with Daemon(tmp_path / "served") as daemon:
        port = daemon.port

        def ask() -> None:
            with daemon.remote(tmp_path / "own", shared=False) as node:
                found.append(node.get(url).read_bytes() == body)

        with daemon.remote(tmp_path / "other", shared=False) as other:
            ids = other.rpc("url.stage", [url, *late])
            asker = threading.Thread(target=ask)
            asker.start()

            def done() -> bool:
                return bool(other.rpc("url.status", ids[:1])[0]["done"] >= 4 * MIB)

            until(done, "half of the file")
            daemon.kill(signal.SIGKILL)
            objects = tmp_path / "served/objects"
            whole = [path for path in objects.rglob("*") if path.is_file()]
            assert all(path.stat().st_size < 10 for path in whole)
            with Daemon(tmp_path / "served", "--port", str(port)):
                pending = list(ids)
                while pending:
                    for status in other.rpc("url.wait", pending, 20.0, parked=20.0):
                        assert status["state"] == "done", status
                        pending.remove(status["id"])
                asker.join(DEADLINE)
    assert found == [True]
    asked = [seen.headers.get("range") for seen in origin.seen("/big")]
    assert len(asked) == 2
    assert asked[0] is None
    assert asked[1] is not None  # the second GET went on where the first one was killed
    assert int(asked[1].removeprefix("bytes=").partition("-")[0]) >= 4 * MIB


def test_a_stop_parks_transfers_and_tells_waiters_to_try_again(
    tmp_path: Path, origin: Origin, until: Callable[..., None]
) -> None:
    url = origin.add("/slow", Page(b"x" * 2 * MIB, stall_at=MIB + 5), Page(b"x" * 2 * MIB))
    with Daemon(tmp_path / "served") as daemon:
        port, caught = daemon.port, []
        with daemon.remote(tmp_path / "own", shared=False) as node:
            (identity,) = node.rpc("url.stage", [url])
            until(lambda: node.rpc("url.status", [identity])[0]["done"] > MIB, "bytes")

            def wait() -> None:
                with daemon.remote(tmp_path / "w") as waiting:
                    waiting.rpc.client._patience = 0.0
                    try:
                        waiting.rpc("url.wait", [identity], 30.0, parked=30.0)
                    except errors.TryAgainError as exc:
                        caught.append(exc)

            waiter = threading.Thread(target=wait)
            waiter.start()
            until(lambda: len(os.listdir(tmp_path / "served/spool/cur")) == 1, "the spool")
            threading.Event().wait(0.2)
            assert daemon.kill(signal.SIGTERM) == 0
            waiter.join(DEADLINE)
            assert len(caught) == 1
            assert len(os.listdir(tmp_path / "served/spool/cur")) == 1
            with Daemon(tmp_path / "served", "--port", str(port)):
                (status,) = node.rpc("url.wait", [identity], 20.0, parked=20.0)
                assert status["state"] == "done"


def test_sighup_takes_new_tokens_and_a_new_target_policy(
    tmp_path: Path, origin: Origin, until: Callable[..., None]
) -> None:
    settings = tmp_path / "config.toml"
    settings.write_text("allow_private = true\n")
    with Daemon(
        tmp_path / "served", environ={"FSCACHE_CONFIG": str(settings)}, allow_private=False
    ) as daemon:
        old = daemon.token()
        with daemon.remote(tmp_path / "own", shared=False) as node:
            node.get(origin.add("/a", b"abc"))
        settings.write_text("allow_private = false\n")
        Path(tmp_path, "served/tokens").write_text("use fedcba98765432100123\n")
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: any("reloaded" in line for line in daemon.log), "the reload")
        url = origin.add("/b", b"abc")
        with (
            daemon.remote(tmp_path / "own", token=old, shared=False) as node,
            pytest.raises(errors.AccessDeniedError),
        ):
            node.get(url)
        with (
            daemon.remote(tmp_path / "own", shared=False) as node,
            pytest.raises(errors.TargetRefusedError),
        ):
            node.get(url)
        assert not any(old in line for line in daemon.log)


@needs_mounts
def test_a_full_disk_is_a_typed_error_and_the_server_goes_on(
    tmp_path: Path, origin: Origin
) -> None:
    (tmp_path / "served").mkdir()
    mount = f'mount -t tmpfs -o size=8m none {tmp_path}/served && exec "$@"'
    small, large = origin.add("/small", b"abc"), origin.add("/large", b"x" * 20 * MIB)
    daemon = Daemon(tmp_path / "served", prefix=["unshare", "-m", "sh", "-c", mount, "-"])
    daemon._command += ["--token-file", str(tmp_path / "tokens")]
    with daemon:
        from tests.support.servers import token_of

        token = token_of(tmp_path)
        with daemon.remote(tmp_path / "own", token=token, shared=False) as node:
            with pytest.raises(errors.NoSpaceError):
                node.get(large)
            assert node.get(small).read_bytes() == b"abc"


def test_a_wrong_token_or_no_server_is_a_typed_error(tmp_path: Path) -> None:
    with Daemon(tmp_path / "served") as daemon:
        with daemon.remote(tmp_path / "own", token="wrong-but-long-enough") as node:
            with pytest.raises(errors.AccessDeniedError):
                node.get("http://h/")
            with pytest.raises(errors.AccessDeniedError):
                node.kv.get("a")
        address = daemon.address
    with RemoteCache(address, token="x", root=tmp_path / "own") as node:
        node.rpc.client._patience = 0.1
        with pytest.raises(errors.ServerUnreachableError) as caught:
            node.get("http://h/")
        assert caught.value.server == address
