from __future__ import annotations

import weakref

from fscache.remote.cache import RemoteCache


def test_a_cache_that_nobody_has_any_more_is_gone_at_once(root_path: str) -> None:
    """Not when the garbage is collected: its connections would stay open until then."""
    cache = RemoteCache("127.0.0.1", 1, root=root_path)
    rpc, gone = cache.rpc, weakref.ref(cache)
    del cache
    assert gone() is None
    client = weakref.ref(rpc.client)
    del rpc
    assert client() is None
