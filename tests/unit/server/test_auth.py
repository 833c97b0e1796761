import base64
import os
import stat
from pathlib import Path

import pytest

from fscache.errors import ConfigError
from fscache.server.auth import ADMIN, ANONYMOUS, NOBODY, USE, Tokens, may
from tests.support.servers import token_of


def basic(token: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"token:{token}".encode()).decode()}


def test_the_file_is_made_for_its_owner_alone_with_a_token_a_role(tmp_path: Path) -> None:
    tokens = Tokens(str(tmp_path / "tokens"))
    assert stat.S_IMODE(os.stat(tmp_path / "tokens").st_mode) == 0o600
    assert os.listdir(tmp_path) == ["tokens"]
    for role in (USE, ADMIN):
        token = token_of(tmp_path, role)
        assert tokens.role({"authorization": f"Bearer {token}"}) == role
        assert tokens.role(basic(token)) == role
    assert Tokens(str(tmp_path / "tokens")).role(basic(token_of(tmp_path))) == USE


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer x", "Basic", "Basic %%%", "Digest x", "Basic eDp5", "Bearer ÿ"]
)
def test_anything_else_is_nobody_even_where_anonymous_calls_are_open(
    tmp_path: Path, header: str
) -> None:
    tokens = Tokens(str(tmp_path / "tokens"), anonymous_kv=True)
    assert tokens.role({"authorization": header}) == NOBODY


def test_without_a_token_one_is_anonymous_only_where_that_is_open(tmp_path: Path) -> None:
    assert Tokens(str(tmp_path / "tokens")).role({}) == NOBODY
    assert Tokens(str(tmp_path / "tokens"), anonymous_kv=True).role({}) == ANONYMOUS


def test_roles_contain_each_other() -> None:
    assert may(ADMIN, USE)
    assert may(USE, ANONYMOUS)
    assert not may(USE, ADMIN)
    assert not may(ANONYMOUS, USE)
    assert not may(NOBODY, ANONYMOUS)


@pytest.mark.parametrize(
    "text",
    ["", "# nothing\n", "use short\n", "root 0123456789abcdef0\n", "use 0123456789abcdef x\n"],
)
def test_a_file_that_says_nothing_useful_is_a_bad_setting(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError):
        Tokens(str(path))


def test_a_file_that_others_may_read_or_that_is_a_link_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("use 0123456789abcdef0123\n")
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="others may read"):
        Tokens(str(path))
    path.chmod(0o600)
    os.symlink(path, tmp_path / "link")
    with pytest.raises(ConfigError):
        Tokens(str(tmp_path / "link"))


def test_a_reload_takes_the_new_tokens_and_keeps_the_old_on_an_error(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    tokens = Tokens(str(path))
    old = basic(token_of(tmp_path))
    path.write_text("nonsense of many words\n")
    with pytest.raises(ConfigError):
        tokens.reload()
    assert tokens.role(old) == USE
    path.write_text("use fedcba9876543210fedc\n")
    tokens.reload()
    assert tokens.role(old) == NOBODY
    assert tokens.role(basic("fedcba9876543210fedc")) == USE
