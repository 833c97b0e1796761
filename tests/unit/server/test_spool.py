import json
import os
from pathlib import Path

import pytest

from fscache.records.root import Root
from fscache.server.spool import MAX_FILE, Asked, BadSpoolFileError, Spool, decode, encode
from tests.conftest import Clock


@pytest.fixture
def spool(root: Root) -> Spool:
    made = Spool(root)
    made.ensure()
    return made


def drop(spool: Spool, name: str, data: bytes | None = None) -> Path:
    path = Path(spool.path, "new", name)
    path.write_bytes(json.dumps({"urls": ["http://h/a"]}).encode() if data is None else data)
    return path


def test_a_batch_comes_back_as_it_was_written_down() -> None:
    asked = Asked([["http://h/a", "http://m/a"]], {"max_age": 5.0}, "10.0.0.1", 12.5, dropped=True)
    assert decode(encode(asked)) == asked


def test_a_dropped_request_is_read_with_its_owner(spool: Spool) -> None:
    drop(spool, "abcdefgh")
    assert spool.dropped() == ["abcdefgh"]
    asked = spool.read_dropped("abcdefgh")
    assert asked.urls == [["http://h/a"]]
    assert asked.by == f"uid {os.getuid()}"
    assert asked.dropped


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"urls": []}',
        b'{"urls": [[]]}',
        b'{"urls": [1]}',
        b'{"urls": ["a"], "options": []}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_what_is_no_request_is_refused(spool: Spool, data: bytes) -> None:
    drop(spool, "abcdefgh", data)
    with pytest.raises(BadSpoolFileError):
        spool.read_dropped("abcdefgh")


@pytest.mark.parametrize(
    "name", ["short", "../../etc/passwd", "a" * 65, "with.dot.name", "b c d e f g"]
)
def test_a_name_that_is_none_reaches_no_path(spool: Spool, name: str) -> None:
    with pytest.raises(BadSpoolFileError):
        spool.read_dropped(name)
    assert spool.ended(name) is None


def test_links_pipes_and_directories_are_not_read(spool: Spool, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text('{"urls": ["http://h/a"]}')
    os.symlink(secret, Path(spool.path, "new", "a-symlink"))
    os.mkfifo(Path(spool.path, "new", "some-pipe"))
    os.mkdir(Path(spool.path, "new", "directory"))
    for name in ("a-symlink", "some-pipe", "directory"):
        with pytest.raises(BadSpoolFileError):
            spool.read_dropped(name)
        spool.refuse(name, "no")
    assert secret.exists()
    assert os.listdir(Path(spool.path, "new")) == ["directory"]
    assert json.loads(Path(spool.path, "failed", "a-symlink").read_text())["error"]


def test_a_directory_is_nobodys_request(spool: Spool) -> None:
    Path(spool.path, "new", "directory").mkdir()
    assert spool.dropped() == []


def test_a_file_that_is_too_large_is_not_read(spool: Spool) -> None:
    drop(spool, "abcdefgh", b" " * (MAX_FILE + 1))
    with pytest.raises(BadSpoolFileError, match="larger"):
        spool.read_dropped("abcdefgh")


def test_what_is_accepted_is_a_copy_that_its_author_cannot_change(spool: Spool) -> None:
    path = drop(spool, "abcdefgh")
    with path.open("r+b") as held:
        assert spool.accept("abcdefgh", spool.read_dropped("abcdefgh"))
        spool.remove_dropped("abcdefgh")
        held.write(b'{"urls": ["http://evil/"]}')
    assert spool.accepted() == ["abcdefgh"]
    asked = spool.pending("abcdefgh")
    assert asked is not None
    assert asked.urls == [["http://h/a"]]


def test_a_second_batch_of_one_name_is_not_accepted(spool: Spool) -> None:
    assert spool.accept("abcdefgh", Asked([["http://h/a"]]))
    assert not spool.accept("abcdefgh", Asked([["http://h/b"]]))


def test_a_finished_batch_leaves_cur_and_is_swept_a_day_later(spool: Spool, clock: Clock) -> None:
    asked = Asked([["http://h/a"]])
    spool.accept("abcdefgh", asked)
    spool.finish("abcdefgh", asked, good=True, requests=None)
    spool.accept("ijklmnop", asked)
    spool.finish("ijklmnop", asked, good=False, requests=[{"id": "ijklmnop.0"}])
    assert spool.accepted() == []
    assert spool.ended("abcdefgh") == asked
    assert json.loads(Path(spool.path, "failed", "ijklmnop").read_text())["requests"]
    clock.now = os.stat(f"{spool.path}/done/abcdefgh").st_mtime + 86_000
    assert spool.sweep() == 0
    clock.advance(1000)
    assert spool.sweep() == 2


def test_a_damaged_file_of_ours_is_set_aside_not_a_crash(spool: Spool) -> None:
    Path(spool.path, "cur", "abcdefgh").write_bytes(b"torn")
    assert spool.pending("abcdefgh") is None
    assert spool.accepted() == []
    assert Path(spool.path, "failed", "abcdefgh").exists()
