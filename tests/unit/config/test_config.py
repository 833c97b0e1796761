"""Promises of fscache.config."""

from __future__ import annotations

import ast
import inspect
import marshal
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fscache
from fscache import config
from fscache.config import SETTINGS, SHARED, Config, given_path, load
from fscache.errors import ConfigError
from tests.support.processes import ALICE, in_child

NOWHERE = "/nonexistent/config.toml"


@pytest.fixture
def home(tmp_path: Path) -> str:
    return str(tmp_path)


def resolve(
    home: str, *, site: str = NOWHERE, given: dict[str, Any] | None = None, **env: str
) -> Config:
    return load({"HOME": home, **env}, given, site)


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def source(found: Config, name: str) -> str:
    return {each: where for each, _value, where in found.explain()}[name]


# -- where values come from -------------------------------------------------------------------


def test_without_any_setting_the_defaults_are_those_documented(home: str) -> None:
    found = resolve(home)
    assert found.root == f"{home}/.cache/fscache"
    assert found.netrc == f"{home}/.netrc"
    assert (found.tiers, found.offline, found.server, found.token) == ((), False, None, None)
    assert (found.durability, found.world_readable, found.group) == ("process", True, None)
    assert {where for _name, _value, where in found.explain()} == {"default"}


def test_the_strongest_wins(home: str, tmp_path: Path) -> None:
    user = write(tmp_path / ".config" / "fscache" / "config.toml", 'root = "/user"\nworkers = 3')
    site = write(tmp_path / "site.toml", 'root = "/site"\nworkers = 2\nattempts = 9')
    found = resolve(home, site=site)
    assert (found.root, found.workers, found.attempts, found.per_host) == ("/user", 3, 9, 8)
    assert source(found, "root") == user
    assert source(found, "attempts") == site
    assert source(found, "per_host") == "default"
    found = resolve(home, site=site, FSCACHE_ROOT="/environment")
    assert found.root == "/environment"
    assert source(found, "root") == "environment variable FSCACHE_ROOT"
    found = resolve(home, site=site, FSCACHE_ROOT="/environment", given={"root": "/argument"})
    assert found.root == "/argument"
    assert source(found, "root") == "argument"


def test_an_argument_of_none_and_an_empty_variable_say_nothing(home: str) -> None:
    found = resolve(home, given={"root": None, "offline": None}, FSCACHE_ROOT="", FSCACHE_SERVER="")
    assert found.root == f"{home}/.cache/fscache"
    assert found.server is None


def test_an_argument_of_false_says_something(home: str) -> None:
    assert resolve(home, given={"offline": False}, FSCACHE_OFFLINE="1").offline is False


def test_directories_of_the_desktop_are_used(home: str, tmp_path: Path) -> None:
    write(tmp_path / "etc" / "fscache" / "config.toml", "workers = 5")
    found = resolve(home, XDG_CACHE_HOME="/var/tmp/me", XDG_CONFIG_HOME=str(tmp_path / "etc"))
    assert found.root == "/var/tmp/me/fscache"
    assert found.workers == 5


def test_directories_of_the_desktop_that_are_relative_are_ignored(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "etc" / "fscache" / "config.toml", "workers = 5")
    for relative in ("etc", "./etc", "~/etc"):
        found = resolve(home, XDG_CACHE_HOME=relative, XDG_CONFIG_HOME=relative)
        assert found.root == f"{home}/.cache/fscache"
        assert found.workers == 16
        assert found.keyring_hosts == f"{home}/.config/fscache/keyring"
        assert found.grid_tls == f"{home}/.config/fscache/grid"


def test_a_root_is_always_absolute(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    assert resolve(home, FSCACHE_ROOT="here").root == f"{home}/here"
    monkeypatch.setenv("HOME", home)
    assert resolve(home, FSCACHE_ROOT="~/there").root == f"{home}/there"


@pytest.mark.parametrize("known", [True, False])
def test_without_a_home_it_is_that_of_the_user_never_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    if not known:  # as in a container that runs under a number
        monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    home = pwd.getpwuid(os.getuid()).pw_dir if known else "/nonexistent"
    for environ in ({}, {"HOME": ""}):
        found = load(environ, site_file=NOWHERE)
        assert found.root == f"{home}/.cache/fscache"
        assert found.netrc == f"{home}/.netrc"
        assert found.keyring_hosts == f"{home}/.config/fscache/keyring"


@pytest.mark.parametrize("path", ["", "~nobody-of-that-name/x", "a\0b", b"/tmp"])
def test_what_is_no_path_is_refused(home: str, path: Any) -> None:
    with pytest.raises(ConfigError):
        given_path("root", path)
    with pytest.raises(TypeError):
        given_path("root", 5)  # type: ignore[arg-type]


def test_a_relative_path_in_a_file_counts_from_the_file(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'root = "cache"\ntiers = ["../tier", "/abs", "~"]\nca_file = "ca.pem"\n'
    write(tmp_path / "lab" / "config.toml", text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", home)
    for named in ("lab/config.toml", f"{home}/lab/config.toml"):
        settings = resolve(home, FSCACHE_CONFIG=named)
        assert settings.root == f"{home}/lab/cache"
        assert settings.tiers == (f"{home}/tier", "/abs", home)
        assert settings.ca_file == f"{home}/lab/ca.pem"
    assert (
        resolve(home, FSCACHE_CONFIG="lab/config.toml", FSCACHE_ROOT="here").root == f"{home}/here"
    )


def test_a_home_at_the_root_is_one_slash() -> None:
    settings = resolve("/")
    assert (settings.root, settings.netrc) == ("/.cache/fscache", "/.netrc")


def test_a_named_file_replaces_the_users(home: str, tmp_path: Path) -> None:
    write(tmp_path / ".config" / "fscache" / "config.toml", "workers = 3")
    named = write(tmp_path / "named.toml", "attempts = 2")
    found = resolve(home, FSCACHE_CONFIG=named)
    assert (found.workers, found.attempts) == (16, 2)


@pytest.mark.parametrize(
    ("name", "variable"),
    [(name, variable) for name, (variable, *_) in SETTINGS.items() if variable is not None],
)
def test_every_variable_sets_its_setting(home: str, name: str, variable: str) -> None:
    value = "1" if name == "offline" else "/some:place"
    found = resolve(home, **{variable: value})
    assert found.get(name) not in (None, SETTINGS[name][2])
    assert source(found, name) == f"environment variable {variable}"


def test_the_environment_is_the_process_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSCACHE_ROOT", "/from/the/environment")
    assert load().root == "/from/the/environment"
    assert fscache.config("root") == "/from/the/environment"
    assert fscache.config("no such setting", "missing") == "missing"
    assert fscache.config("server", "nobody") == "nobody"
    assert fscache.config("server") is None


def test_all_settings_are_known_to_type_checkers() -> None:
    body = ast.parse(inspect.getsource(Config)).body[0]
    assert isinstance(body, ast.ClassDef)
    typed = {
        node.target.id
        for node in ast.walk(body)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    assert typed == set(SETTINGS)


def test_a_setting_that_does_not_exist_is_an_attribute_error(home: str) -> None:
    with pytest.raises(AttributeError, match="rooot"):
        _ = resolve(home).rooot


# -- what values mean -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ('tiers = ["/a", "~/b"]', "tiers", ("/a", "{home}/b")),
        ('tiers = "/a:/b"', "tiers", ("/a", "/b")),
        ("offline = true", "offline", True),
        ('offline = "no"', "offline", False),
        ('max_size = "500GiB"', "max_size", 500 * 2**30),
        ("max_size = 1000", "max_size", 1000),
        ('min_free = "10%"', "min_free", "10%"),
        ('min_free = "5GiB"', "min_free", "5GiB"),
        ('grace = "2h"', "grace", 7200.0),
        ("stall_timeout = 1.5", "stall_timeout", 1.5),
        ('durability = "power"', "durability", "power"),
        ("workers = 1024", "workers", 1024),
        (
            'mirrors = {"https://a/" = ["https://b/", "https://c/"], "https://d/" = "file:///d/"}',
            "mirrors",
            (("https://a/", ("https://b/", "https://c/")), ("https://d/", ("file:///d/",))),
        ),
    ],
)
def test_values_in_files(
    home: str, monkeypatch: pytest.MonkeyPatch, text: str, name: str, value: object
) -> None:
    monkeypatch.setenv("HOME", home)
    file = write(Path(home) / "config.toml", text)
    if isinstance(value, tuple):
        value = tuple(v.format(home=home) if isinstance(v, str) else v for v in value)
    assert resolve(home, FSCACHE_CONFIG=file).get(name) == value


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("root = 5", "root"),
        ('root = ""', "root"),
        ("tiers = 5", "tiers"),
        ("tiers = [5]", "tiers"),
        ('offline = "perhaps"', "offline"),
        ('max_size = "lots"', "max_size"),
        ("max_size = -1", "max_size"),
        ('min_free = "101%"', "min_free"),
        ('min_free = "x%"', "min_free"),
        ('grace = "soon"', "grace"),
        ('durability = "eternal"', "durability"),
        ("workers = 0", "workers"),
        ("workers = 1025", "workers"),
        ('workers = "many"', "workers"),
        ("workers = true", "workers"),
        ("mirrors = 5", "mirrors"),
        ('mirrors = {"https://a/" = 5}', "mirrors"),
        ('mirrors = {"https://a/" = [5]}', "mirrors"),
        ('mirrors = {"a.example" = ["https://b/"]}', "mirrors"),
        ('mirrors = {"https://a/" = ["b.example"]}', "mirrors"),
        ("group = 5", "group"),
        ('colour = "blue"', "colour"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_place(
    home: str, tmp_path: Path, text: str, name: str
) -> None:
    file = write(tmp_path / "config.toml", text)
    with pytest.raises(ConfigError) as caught:
        resolve(home, FSCACHE_CONFIG=file)
    assert (caught.value.name, caught.value.source) == (name, file)
    assert caught.value.why
    assert "literal" not in caught.value.why  # what Python says of its own


def test_a_bad_variable_or_argument_is_named_too(home: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(home, FSCACHE_OFFLINE="perhaps")
    assert caught.value.source == "environment variable FSCACHE_OFFLINE"
    with pytest.raises(ConfigError) as caught:
        resolve(home, given={"workers": 0})
    assert caught.value.source == "argument"


# -- files that cannot be read ----------------------------------------------------------------


def test_a_named_file_that_is_not_there_is_an_error_and_an_unnamed_one_is_not(home: str) -> None:
    resolve(home)
    with pytest.raises(ConfigError, match="nowhere"):
        resolve(home, FSCACHE_CONFIG=f"{home}/nowhere.toml")


@pytest.mark.parametrize("content", [b"root = ", b"\xff\xfe", b"root = 'a'\nroot = 'b'", b"\0"])
def test_a_file_that_is_no_toml_is_named(home: str, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.toml").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        resolve(home, FSCACHE_CONFIG=str(tmp_path / "config.toml"))
    assert caught.value.source == str(tmp_path / "config.toml")


def test_a_directory_is_no_config_file(home: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(home, FSCACHE_CONFIG=home)
    assert caught.value.source == home


@pytest.mark.usefixtures("users")
def test_a_file_that_may_not_be_read_is_an_error_and_not_ignored(open_tmp: str) -> None:
    file = write(Path(open_tmp) / "config.toml", "offline = true")
    os.chmod(file, 0o600)
    import tomllib  # noqa: F401 - the child may not be able to read the standard library

    with pytest.raises(ConfigError) as caught:
        in_child(lambda: resolve(open_tmp, FSCACHE_CONFIG=file).offline, uid=ALICE)
    assert caught.value.source == file


# -- secrets, imports -------------------------------------------------------------------------


def test_the_token_is_never_shown(home: str, tmp_path: Path) -> None:
    file = write(tmp_path / "config.toml", "token = 'hunter2'")
    for found in (resolve(home, FSCACHE_TOKEN="hunter2"), resolve(home, FSCACHE_CONFIG=file)):
        assert found.token == "hunter2"
        assert "hunter2" not in repr(found)
        assert "hunter2" not in str(found.explain())
        assert ("token", "***") in [(name, value) for name, value, _ in found.explain()]
    write(tmp_path / "config.toml", "token = ['hunter2']")
    with pytest.raises(ConfigError) as caught:
        resolve(home, FSCACHE_CONFIG=file)
    assert "hunter2" not in str(caught.value)


def test_a_token_in_the_servers_address_is_not_shown_either(home: str) -> None:
    found = resolve(home, FSCACHE_SERVER="token:hunter2@head:8077")
    assert found.server == "token:hunter2@head:8077"
    assert ("server", "***@head:8077") in [(name, value) for name, value, _ in found.explain()]


def test_a_repr_shows_what_was_set(home: str) -> None:
    assert repr(resolve(home, FSCACHE_ROOT="/a")) == "Config(root='/a')"


def test_without_a_config_file_nothing_is_imported_for_one() -> None:
    code = """if 1:
        import sys
        from fscache.config import load
        load({"HOME": "/nowhere"})
        sys.exit("tomllib" in sys.modules or "dataclasses" in sys.modules)
    """
    subprocess.run([sys.executable, "-S", "-c", code], check=True, cwd=Path(__file__).parents[3])


def test_the_module_still_is_a_module() -> None:
    assert inspect.ismodule(config)
    assert callable(config)


# -- variables that all programs share --------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "variable"),
    [(name, variable) for name, variables in SHARED.items() for variable in variables],
)
def test_shared_variables_are_asked_last(
    home: str, tmp_path: Path, name: str, variable: str
) -> None:
    found = resolve(home, **{variable: "/some:place"})
    assert found.get(name) not in (None, ())
    assert source(found, name) == f"environment variable {variable}"
    assert found.told().get(name, ()) == ()
    assert source(found.told(), name) == "default"
    site = write(tmp_path / "site.toml", f'{name} = "/of/the/site"')
    found = resolve(home, site=site, **{variable: "/some:place"})
    assert source(found, name) == site
    assert found.told().get(name) == found.get(name)


def test_our_own_variable_goes_before_the_one_we_share(home: str) -> None:
    found = resolve(home, FSCACHE_CA_FILE="/ours.pem", SSL_CERT_FILE="/all.pem")
    assert found.ca_file == found.told().ca_file == "/ours.pem"


def test_lower_case_goes_before_upper_case(home: str) -> None:
    found = resolve(home, https_proxy="http://lower:1", HTTPS_PROXY="http://upper:1")
    assert found.https_proxy == "http://lower:1"
    found = resolve(home, https_proxy="", HTTPS_PROXY="http://upper:1")
    assert found.https_proxy == "http://upper:1"


def test_a_visitors_header_is_no_proxy_of_a_cgi_script(home: str) -> None:
    evil = "http://evil:1"
    assert resolve(home, HTTP_PROXY=evil, REQUEST_METHOD="GET").http_proxy is None
    assert resolve(home, http_proxy=evil, REQUEST_METHOD="GET").http_proxy == evil


@pytest.mark.parametrize("text", ["a.org, .b.org 10.0.0.0/8,*", "a.org,.b.org,10.0.0.0/8 *"])
def test_no_proxy_is_a_list_in_commas_or_spaces(home: str, text: str) -> None:
    assert resolve(home, no_proxy=text).no_proxy == ("a.org", ".b.org", "10.0.0.0/8", "*")


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        ("http://me:s3cret@p:1", "http://***@p:1"),
        ("http://me:s3@cret@p:1", "http://***@p:1"),
        ("me:s3cret@p:1", "***@p:1"),
        ("http://p:1", "http://p:1"),
    ],
)
def test_what_a_proxy_wants_to_know_is_not_shown(home: str, proxy: str, shown: str) -> None:
    found = resolve(home, http_proxy=proxy, HTTPS_PROXY=proxy)
    assert (found.http_proxy, found.https_proxy) == (proxy, proxy)
    values = {name: value for name, value, _ in found.explain()}
    assert (values["http_proxy"], values["https_proxy"]) == (shown, shown)
    assert "cret" not in repr(found)


def test_the_same_settings_can_be_made_elsewhere(home: str) -> None:
    given = {"per_host": 3, "mirrors": {"http://a/": ["http://b/"]}, "tiers": ["/tier"]}
    found = resolve(home, given=given, https_proxy="http://p:1")
    values, sources = marshal.loads(marshal.dumps(found.portable()))
    assert Config(values, sources).explain() == found.explain()
    values["per_host"] = 4
    assert found.per_host == 3


def test_what_somebody_has_set_is_told_from_a_default(home: str) -> None:
    assert resolve(home, given={"per_host": 8}).is_set("per_host")
    assert not resolve(home).is_set("per_host")
