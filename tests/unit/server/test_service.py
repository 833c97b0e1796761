"""The daemon's routes and calls over real sockets, from plain clients."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import re
import sqlite3
import threading
import xmlrpc.client
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fscache import errors
from fscache.remote import codec
from fscache.remote.address import parse
from fscache.remote.client import Client
from fscache.remote.rpc import RPC
from fscache.server.limits import Limits
from fscache.server.settings import Settings
from tests.support.origin import Origin, Page, redirect
from tests.support.servers import Serving, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()


def ask(
    served: Serving,
    method: str,
    path: str,
    body: Any = None,
    *,
    token: str | None = "",
    **headers: str,
) -> Answer:
    """Send one request; `token` empty is the good one, None sends none."""
    connection = http.client.HTTPConnection(served.address, timeout=30)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        sent["Authorization"] = f"Bearer {token or served.token()}"
    try:
        connection.request(method, path, body, sent)
        return Answer(connection.getresponse())
    finally:
        connection.close()


_proxies: list[xmlrpc.client.ServerProxy] = []


@pytest.fixture(autouse=True)
def _closed_proxies() -> Iterator[None]:
    yield
    while _proxies:
        _proxies.pop()("close")()


def old_client(served: Serving, token: str | None) -> xmlrpc.client.ServerProxy:
    """Return the standard library's client, closed at the end of the test."""
    user = "" if token is None else f"token:{token}@"
    made = xmlrpc.client.ServerProxy(f"http://{user}{served.address}", allow_none=True)
    _proxies.append(made)
    return made


def proxy(served: Serving, role: str = "use") -> xmlrpc.client.ServerProxy:
    return old_client(served, served.token(role))


# -- who may ask ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/metrics"),
        ("GET", "/objects/" + "0" * 20),
        ("PUT", "/objects"),
        ("GET", "/urls/http%3A%2F%2Fh%2F"),
        ("GET", "/kv/default/a"),
        ("PUT", "/kv/default/a"),
        ("DELETE", "/kv/default/a"),
        ("POST", "/RPC2"),
        ("GET", "/nothing"),
    ],
)
def test_nothing_is_answered_without_a_token(served: Serving, method: str, path: str) -> None:
    for token in (None, "wrong-token-of-some-length"):
        answer = ask(served, method, path, token=token, Content_Type="text/xml")
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Basic")


def test_health_is_for_everybody(served: Serving) -> None:
    assert ask(served, "GET", "/healthz", token=None).body == b"ok\n"


def test_anonymous_opens_the_metastores_three_calls_and_nothing_else(tmp_path: Path) -> None:
    with serving(tmp_path / "root", anonymous_kv=True) as served:
        plain = old_client(served, None)
        assert plain.put("a", "1") is True
        assert plain.get("a") == "1"
        assert plain.multiget(["a"]) == {"a": "1"}
        for call in (
            lambda: plain.kv.get("a"),
            lambda: plain.url.stage(["http://h/"]),
            lambda: plain.system.multicall([{"methodName": "get", "params": ["a"]}]),
        ):
            with pytest.raises(xmlrpc.client.Fault, match=r"denied: [a-z.]+ needs the role use"):
                call()
        assert ask(served, "GET", "/kv/default/a", token=None).status == 403
        assert ask(served, "GET", "/", token=None).status == 403


def test_admin_calls_need_the_admins_token(served: Serving) -> None:
    with pytest.raises(xmlrpc.client.Fault, match="needs the role admin"):
        proxy(served).admin.requests()
    assert proxy(served, "admin").admin.requests() == []


def test_a_client_that_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    from fscache.server.limits import Limits

    with serving(tmp_path / "root", limits=Limits(rate=0.01, burst=100.0)) as served:
        assert ask(served, "GET", "/").status == 200
        answer = ask(served, "GET", "/")
        assert answer.status == 429
        assert int(answer.headers["retry-after"]) > 1
        assert ask(served, "GET", "/healthz").status == 200


def test_a_browser_cannot_be_made_to_call(served: Serving) -> None:
    document = xmlrpc.client.dumps((), "system.listMethods")
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        assert ask(served, "POST", "/RPC2", document, Content_Type=kind).status == 415


# -- XML-RPC ----------------------------------------------------------------------------------


def test_the_methods_describe_themselves(served: Serving) -> None:
    names = proxy(served).system.listMethods()
    assert {"get", "put", "multiget", "kv.get", "url.stage", "precondition.met"} <= set(names)
    assert "admin.requests" not in names
    assert "Start staging" in proxy(served).system.methodHelp("url.stage")
    assert proxy(served).system.methodSignature("url.stage") == "undef"
    for name in names:
        assert len(proxy(served).system.methodHelp(name)) > len(name) + 5


def test_several_calls_travel_as_one_and_fail_each_by_itself(served: Serving) -> None:
    calls = xmlrpc.client.MultiCall(proxy(served))
    calls.put("a", "1")
    calls.get("missing")
    calls.get("a")
    first, second, third = calls().results
    assert (first, third) == ([True], ["1"])
    assert second["faultString"] == "<class 'KeyError'>:"


def test_an_old_client_sees_what_the_original_said(served: Serving) -> None:
    old = old_client(served, served.token())
    assert old.put("a", 1) is True
    assert old.get("a") == "1"
    with pytest.raises(xmlrpc.client.Fault) as caught:
        old.get("missing")
    assert (caught.value.faultCode, caught.value.faultString) == (1, "<class 'KeyError'>:")
    with pytest.raises(xmlrpc.client.Fault):
        old.multiget(["a", "missing"])


@pytest.mark.parametrize(
    "value", ["text ü", "", 5, -7, 0.25, True, False, None, xmlrpc.client.Binary(b"\0\xff")]
)
def test_an_old_client_reads_back_what_the_original_would_have_given(
    served: Serving, value: Any
) -> None:
    original = sqlite3.connect(":memory:")
    original.execute("CREATE TABLE metastore (k varchar(255), v text, primary key(k))")
    kept = value.data if isinstance(value, xmlrpc.client.Binary) else value
    original.execute("REPLACE INTO metastore VALUES ('k', ?)", (kept,))
    (expected,) = original.execute("SELECT v FROM metastore").fetchone()
    original.close()
    old = old_client(served, served.token())
    old.put("k", value)
    got = old.get("k")
    assert (got.data if isinstance(got, xmlrpc.client.Binary) else got) == expected
    assert type(old.multiget(["k"])["k"]) is type(got)


@pytest.mark.parametrize(
    ("name", "params"),
    [("no.such", ()), ("kv.get", ()), ("kv.get", (1, 2, 3, 4, 5)), ("get", (5,))],
)
def test_a_call_that_makes_no_sense_is_a_fault(served: Serving, name: str, params: Any) -> None:
    with pytest.raises(xmlrpc.client.Fault):
        getattr(proxy(served), name)(*params)


def test_bytes_stand_beside_an_answer_only_for_who_asks_for_it(tmp_path: Path) -> None:
    joined = codec.JOINED_TYPE
    large = b"x" * 10_000
    with serving(tmp_path / "root", limits=Limits(call=1000)) as served:
        beside: list[bytes] = []
        document = codec.encode_call("kv.put", ("a", large), beside)
        body = codec.join(document, beside)
        assert ask(served, "POST", "/RPC2", body, Content_Type=joined).status == 200
        wish = codec.encode_call("kv.get", ("a",))
        plain = ask(served, "POST", "/RPC2", wish, Content_Type="text/xml")
        assert plain.headers["content-type"] == "text/xml"
        assert codec.decode_result(plain.body, "s") == large
        answer = ask(served, "POST", "/RPC2", wish, Content_Type="text/xml", Accept=joined)
        assert answer.headers["content-type"] == joined
        assert codec.decode_result(*_parts(answer.body)) == large
        # The document itself is as long as any other.
        long = codec.join(codec.encode_call("kv.get", ("a" * 1000,)), [])
        assert ask(served, "POST", "/RPC2", long, Content_Type=joined).status == 413
        assert ask(served, "POST", "/RPC2", b"nothing", Content_Type=joined).status == 400


def _parts(body: bytes) -> tuple[bytes, str, memoryview]:
    document, beside = codec.split(body)
    return document, "s", beside


def test_an_expanding_document_is_refused(served: Serving) -> None:
    bomb = '<!DOCTYPE b [<!ENTITY a "aaaa">]><methodCall><methodName>&a;</methodName></methodCall>'
    answer = ask(served, "POST", "/", bomb, Content_Type="text/xml")
    assert b"document type or entity" in answer.body


# -- objects ----------------------------------------------------------------------------------


def test_an_upload_is_kept_under_its_digest_and_comes_back(served: Serving) -> None:
    data = os.urandom(300_000)
    sha = base64.b64encode(hashlib.sha256(data).digest()).decode()
    answer = ask(served, "PUT", "/objects", data, Repr_Digest=f"sha-256=:{sha}:")
    assert answer.status == 201
    made = json.loads(answer.body)
    assert made["size"] == 300_000
    got = ask(served, "GET", f"/objects/{made['address']}")
    assert got.body == data
    assert got.headers["etag"] == f'"{made["address"]}"'
    part = ask(served, "GET", f"/objects/{made['address']}", Range="bytes=10-19")
    assert (part.status, part.body) == (206, data[10:20])
    assert part.headers["content-range"] == "bytes 10-19/300000"
    assert ask(served, "GET", f"/objects/{made['address']}", Range="bytes=300000-").status == 416
    same = ask(served, "GET", f"/objects/{made['address']}", If_None_Match=got.headers["etag"])
    assert (same.status, same.body) == (304, b"")
    head = ask(served, "HEAD", f"/objects/{made['address']}")
    assert (head.headers["content-length"], head.body) == ("300000", b"")


@pytest.mark.parametrize(
    "headers",
    [
        {"Repr_Digest": f"sha-256=:{base64.b64encode(b'0' * 32).decode()}:"},
        {"X_Fscache_Digest": "xxh3_128:" + "0" * 32},
        {"X_Fscache_Digest": "nonsense"},
        {"Repr_Digest": "garbage"},
        {"Repr_Digest": f"sha-256={base64.b64encode(b'0' * 32).decode()}"},
        {"Repr_Digest": "crc32c=:AAAAAA==:"},
    ],
)
def test_an_upload_of_other_bytes_than_announced_leaves_nothing(
    served: Serving, headers: dict[str, str]
) -> None:
    answer = ask(served, "PUT", "/objects", b"abc", **headers)
    assert answer.status in (400, 422)
    assert json.loads(answer.body)["code"] in ("checksum", "invalid-checksum")
    assert [name for _, _, names in os.walk(f"{served.root}/objects") for name in names] == []
    assert os.listdir(f"{served.root}/partial") == []


def test_an_upload_makes_room_for_itself_where_a_limit_is_set(tmp_path: Path) -> None:
    config = {"max_size": "10000", "grace": "0s"}
    with serving(tmp_path / "root", config=config) as served:
        addresses = []
        for number in range(3):
            answer = ask(served, "PUT", "/objects", bytes([number]) * 6000)
            assert answer.status == 201
            addresses.append(json.loads(answer.body)["address"])
        there = [ask(served, "GET", f"/objects/{address}").status for address in addresses]
        assert there == [404, 404, 200]
        assert ask(served, "PUT", "/objects", b"x" * 10_001).status == 507


def test_an_upload_may_be_chunked_and_is_limited(tmp_path: Path) -> None:
    from fscache.server.limits import Limits

    with serving(tmp_path / "root", limits=Limits(upload=100)) as served:
        chunks = iter([b"a" * 50, b"b" * 50])
        assert ask(served, "PUT", "/objects", chunks).status == 201
        assert ask(served, "PUT", "/objects", iter([b"a" * 50] * 3)).status == 507
        refused = ask(served, "PUT", "/objects", b"a" * 101)
        assert refused.status == 507
        assert json.loads(refused.body)["message"] == "upload: at most 100 B at once"


@pytest.mark.parametrize(
    "name", ["..%2f..%2ftokens", "../../tokens", "0" * 19, "0" * 20 + "/../../tokens", "%00", ""]
)
def test_no_address_leads_out_of_the_store(served: Serving, name: str) -> None:
    answer = ask(served, "GET", f"/objects/{name}")
    assert answer.status == 400
    assert json.loads(answer.body)["code"] == "invalid-address"


# -- URLs -------------------------------------------------------------------------------------


def quoted(url: str) -> str:
    from urllib.parse import quote

    return f"/urls/{quote(url, safe='')}"


def test_a_url_is_staged_and_sent_with_its_digest(served: Serving, origin: Origin) -> None:
    url = origin.add("/a", b"abc")
    answer = ask(served, "GET", quoted(url))
    assert (answer.status, answer.body) == (200, b"abc")
    assert re.fullmatch(r"xxh3-128=:\S{24}:", answer.headers["repr-digest"])
    assert ask(served, "GET", quoted(url)).body == b"abc"
    assert len(origin.seen("/a")) == 1
    assert served.server.figures().hit_ratio == 0.5


def test_an_error_of_staging_is_the_answer(served: Serving, origin: Origin) -> None:
    answer = ask(served, "GET", quoted(origin.url("/nothing")))
    assert json.loads(answer.body)["code"] == "not-found"


def test_a_request_is_told_of_waited_for_and_cancelled(served: Serving, origin: Origin) -> None:
    url = origin.add("/slow", Page(b"x" * 100_000, stall_at=1000))
    calls = proxy(served)
    (identity,) = calls.url.stage([url], {})
    assert calls.url.wait([identity], 0.01) == []
    (status,) = calls.url.status([identity])
    assert status["state"] in ("queued", "running")
    assert calls.url.cancel([identity]) == 1
    (ended,) = calls.url.wait([identity], 10)
    assert ended["state"] == "cancelled"
    assert calls.url.lookup([url]) == [None]
    with pytest.raises(xmlrpc.client.Fault, match="unknown-request"):
        calls.url.status(["nothing.0"])


def test_progress_can_be_read_while_bytes_come(
    served: Serving, origin: Origin, until: Callable[..., None]
) -> None:
    url = origin.add("/slow", Page(b"x" * 3_000_000, stall_at=2_000_000))
    (identity,) = proxy(served).url.stage([url], {})

    def moving() -> bool:
        (status,) = proxy(served).url.status([identity])
        return bool(status["done"] >= 1_000_000 and status["total"] == 3_000_000)

    until(moving, "progress")
    page = ask(served, "GET", "/").body.decode()
    assert "/slow" in page
    assert "<progress" in page
    (row,) = proxy(served, "admin").admin.requests()
    assert row["by"] == "127.0.0.1"
    origin.release.set()


def test_a_requests_end_is_a_precondition(served: Serving, origin: Origin) -> None:
    (identity,) = proxy(served).url.stage([origin.add("/a", b"abc")], {})
    name = f"request:{identity}"
    assert proxy(served).precondition.wait([name], 30) == [name]


def test_hits_leave_no_file_in_the_spool(
    served: Serving, origin: Origin, until: Callable[..., None]
) -> None:
    url = origin.add("/a", b"abc")
    spooled = Path(served.root, "spool")

    def files() -> list[int]:
        return [len(os.listdir(spooled / folder)) for folder in ("cur", "done", "failed")]

    (first,) = proxy(served).url.stage([url], {})
    proxy(served).url.wait([first], 30)
    until(lambda: files() == [0, 1, 0], "the end to be written down")
    proxy(served).url.stage([url], {})
    assert files() == [0, 1, 0]


# -- targets ----------------------------------------------------------------------------------


def test_private_targets_are_refused_by_default(tmp_path: Path, origin: Origin) -> None:
    url = origin.add("/a", b"abc")
    with (
        serving(tmp_path / "root", config={"allow_private": False}) as served,
        served.remote(tmp_path / "node", shared=False) as node,
    ):
        for refused in (url, url.replace("127.0.0.1", "localhost")):
            with pytest.raises(errors.TargetRefusedError):
                node.get(refused)
    assert origin.requests == []


def test_a_redirect_to_a_refused_target_is_not_followed(tmp_path: Path, origin: Origin) -> None:
    inner = origin.add("/secret", b"secret")
    url = origin.add("/a", redirect(inner.replace("127.0.0.1", "127.0.0.2")))
    config = {"allow_private": False, "allow_networks": "127.0.0.1/32"}
    with (
        serving(tmp_path / "root", config=config) as served,
        served.remote(tmp_path / "node", shared=False) as node,
        pytest.raises(errors.TargetRefusedError),
    ):
        node.get(url)
    assert origin.seen("/secret") == []


def test_credentials_for_an_origin_are_neither_written_down_nor_shown(
    served: Serving, origin: Origin
) -> None:
    url = origin.add("/slow", Page(b"x" * 100_000, stall_at=1000))
    secret = "0penSesame"
    proxy(served).url.stage(
        [url], {"headers": {"Authorization": f"Bearer {secret}", "X-Plain": "1"}}
    )
    (written,) = Path(served.root, "spool", "cur").iterdir()
    assert secret not in written.read_text()
    assert "X-Plain" in written.read_text()
    assert secret not in ask(served, "GET", "/").body.decode()
    assert secret not in str(proxy(served, "admin").admin.requests())


# -- key-values -------------------------------------------------------------------------------


def test_a_value_is_plain_for_curl(served: Serving) -> None:
    assert (
        ask(served, "PUT", "/kv/default/a%2Fb", "text ü".encode(), Content_Type="text/plain").status
        == 200
    )
    got = ask(served, "GET", "/kv/default/a%2Fb")
    assert (got.body, got.headers["fscache-kind"]) == ("text ü".encode(), "s")
    assert proxy(served).kv.get("a/b") == "text ü"
    assert ask(served, "DELETE", "/kv/default/a%2Fb").body == b"true"
    assert ask(served, "GET", "/kv/default/a%2Fb").status == 404


@pytest.mark.parametrize(
    ("headers", "body", "why"),
    [
        ({"Fscache_TTL": "soon"}, b"x", "Fscache-TTL"),
        ({"Fscache_TTL": "-5"}, b"x", "positive"),
        ({"Fscache_Tags": "word"}, b"x", "Fscache-Tags"),
        ({"Fscache_Tags": '{"word": 1}'}, b"x", "Fscache-Tags"),
        ({"Fscache_Tags": "[" * 20_000}, b"x", "Fscache-Tags"),
        ({"Fscache_Kind": "j"}, b"[" * 100_000, "not a value"),
        ({"Fscache_Kind": "q"}, b"x", "not a value"),
    ],
)
def test_what_is_no_value_is_refused_with_the_reason(
    served: Serving, headers: dict[str, str], body: bytes, why: str
) -> None:
    answer = ask(served, "PUT", "/kv/default/a", body, **headers)
    assert answer.status == 400
    assert why in answer.body.decode()
    assert ask(served, "GET", "/kv/default/a").status == 404


@pytest.mark.parametrize("path", ["/kv/..%2F..%2Fx/a", "/kv/.x/a", "/kv//a", "/kv/a%00/a", "/kv/a"])
def test_no_store_leads_out_of_the_root(served: Serving, path: str) -> None:
    assert ask(served, "PUT", path, b"x").status == 400
    assert not Path(served.root, "x").exists()


def test_what_a_clients_serializer_made_is_handed_back_unopened(
    served: Serving, tmp_path: Path
) -> None:
    class Boom:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(tmp_path / "opened"),))

    import pickle

    with served.remote(tmp_path / "node") as node:
        store = node.kv.store("pickles", serializer=pickle)
        store.put("k", Boom())
        assert node.kv.store("pickles").keys() == ["k"]
        assert not (tmp_path / "opened").exists()
        store.get("k")
        assert (tmp_path / "opened").exists()


def test_a_watch_wakes_when_another_client_puts(served: Serving, tmp_path: Path) -> None:
    with served.remote(tmp_path / "a") as one, served.remote(tmp_path / "b") as two:
        watch = one.kv.watch("run/")
        putter = threading.Thread(target=lambda: two.kv.put("run/1", 1))
        putter.start()
        assert watch.wait(30) == ["run/1"]
        putter.join()
        assert watch.wait(0.01) == []


# -- what administrators see ------------------------------------------------------------------


def test_the_page_shows_what_it_was_given_escaped_and_loads_nothing(
    served: Serving, origin: Origin
) -> None:
    url = origin.add("/%3Cscript%3E?x=<b>", Page(b"x" * 9000, stall_at=1))
    proxy(served).url.stage([url], {})
    answer = ask(served, "GET", "/")
    text = answer.body.decode()
    assert "<b>" not in text
    assert "<script" not in text
    assert not re.search(r"(src|href)=", text)
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_metrics_are_prometheus_text(served: Serving) -> None:
    pytest.importorskip("prometheus_client")
    text = ask(served, "GET", "/metrics").body.decode()
    assert "fscache_up 1.0" in text
    assert "fscache_url_hits_total 0.0" in text


# -- life -------------------------------------------------------------------------------------


def test_a_root_that_vanishes_is_told_and_survived(served: Serving, tmp_path: Path) -> None:
    token = served.token()
    address = json.loads(ask(served, "PUT", "/objects", b"abc").body)["address"]
    os.rename(served.root, tmp_path / "away")
    assert ask(served, "GET", "/healthz", token=None).status == 503
    for method, path in (("GET", f"/objects/{address}"), ("PUT", "/objects")):
        answer = ask(served, method, path, b"other", token=token)
        assert (answer.status, json.loads(answer.body)["code"]) == (503, "try-again")
    assert "the root is gone" in ask(served, "GET", "/", token=token).body.decode()
    assert not Path(served.root).exists()
    os.rename(tmp_path / "away", served.root)
    assert ask(served, "GET", f"/objects/{address}", token=token).body == b"abc"


def test_a_stop_tells_who_waits_to_try_again(tmp_path: Path, until: Callable[..., None]) -> None:
    told: list[type[BaseException]] = []
    with serving(tmp_path / "root", grace=30.0) as served:
        client = Client(parse(f"{served.token()}@{served.address}"), patience=0.0)
        rpc = RPC(client)
        rpc("task.add", "a", {"submitted": None})
        watch = rpc("kv.watch", "x")

        def wait(*call: object) -> None:
            try:
                rpc(*call, repeatable=False)
            except errors.FscacheError as exc:
                told.append(type(exc))
            finally:
                client.close()

        calls = (
            ("kv.changes", watch, 60.0),
            ("task.wait", ["a"], 60.0),
            ("precondition.wait", ["never"], 60.0),
        )
        before = served.server._app.answered
        threads = [threading.Thread(target=wait, args=call) for call in calls]
        for thread in threads:
            thread.start()
        until(lambda: served.server._app.answered == before + len(calls), "the calls")
        served.server.stop()
        for thread in threads:
            thread.join(30)
        client.close()
    assert told == [errors.TryAgainError] * len(calls)


def test_a_clock_that_jumps_neither_ends_requests_nor_tokens(
    tmp_path: Path, origin: Origin
) -> None:
    now = [1_700_000_000.0]
    with serving(tmp_path / "root", now=lambda: now[0]) as served:
        (identity,) = proxy(served).url.stage([origin.add("/a", b"abc")], {})
        for jump in (-86_400.0 * 400, 86_400.0 * 4000):
            now[0] += jump
            (status,) = proxy(served).url.wait([identity], 30)
            assert status["state"] == "done"
            assert ask(served, "GET", f"/objects/{status['address']}").body == b"abc"


def test_settings_are_loopback_unless_told() -> None:
    assert Settings().host == "127.0.0.1"


def test_a_port_that_is_taken_is_a_bad_setting(served: Serving, tmp_path: Path) -> None:
    port = int(served.address.rpartition(":")[2])
    with pytest.raises(errors.ConfigError, match="in use"), serving(tmp_path / "two", port=port):
        pass


def test_a_root_that_cannot_be_made_is_an_error_of_the_root(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "mount")
    for name, why in (("link", "a link to"), ("file/root", "(?i)not a directory")):
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(errors.StoreError, match=why), serving(tmp_path / name):
            pass


def test_it_answers_before_it_has_looked_at_a_large_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fscache.server.figures import Survey

    gate = threading.Event()
    monkeypatch.setattr(Survey, "take", lambda _self: gate.wait(30))
    with serving(tmp_path / "root") as served:
        assert ask(served, "GET", "/healthz", token=None).body == b"ok\n"
        assert "Not counted yet." in ask(served, "GET", "/").body.decode()
        assert proxy(served).kv.put("k", 1) is True
        gate.set()
