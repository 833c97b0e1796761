"""XML-RPC calls to one server: `rpc("url.stage", urls, options)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fscache import errors
from fscache.remote import codec

if TYPE_CHECKING:
    from fscache.remote.client import Client
    from fscache.remote.connection import Answer

_ACCEPT = {"Accept": codec.JOINED_TYPE}
_JOINED = f"\r\nContent-Type: {codec.JOINED_TYPE}".encode("ascii")
_MARGIN = 30.0  # seconds a parked call may take to come back after its own timeout


class RPC:
    """The methods of one server. Pickled, it goes without the token: where it arrives has its own."""

    def __init__(self, client: Client) -> None:
        """Call through `client`."""
        self.client = client

    def __call__(
        self,
        method: str,
        *params: object,
        repeatable: bool = True,
        parked: float | None = None,
        plain: bool = False,
    ) -> Any:
        """Call a method and return its result.

        Args:
            method: Its name, such as `kv.get`.
            params: Its parameters, by position.
            repeatable: Whether calling twice does what calling once does; see `Client.call`.
            parked: How long the server may let the call wait, in seconds.
            plain: Speak as any XML-RPC server understands it: all bytes as base64.

        Raises:
            FscacheError: what the server raised, or that it could not be asked.
        """
        found: list[Any] = []
        beside: list[bytes] = []
        document = codec.encode_call(method, params, None if plain else beside)
        kind = codec.JOINED_TYPE if beside else codec.CONTENT_TYPE
        self.client.call(
            "POST",
            "/RPC2",
            codec.join(document, beside) if beside else document,
            {"Content-Type": kind} | ({} if plain else _ACCEPT),
            repeatable=repeatable,
            timeout=None if parked is None else parked + _MARGIN,
            check=lambda answer: found.append(self._read(answer)),
        )
        return found[-1]

    def __reduce__(self) -> tuple[Any, ...]:
        from fscache.remote.connect import connect

        return connect, (self.client.address.url,)

    def _read(self, answer: Answer) -> Any:
        name = self.client.name
        try:
            if _JOINED in answer.head:
                document, beside = codec.split(answer.body)
                return codec.decode_result(document, name, beside)
            return codec.decode_result(answer.body, name)
        except codec.MalformedError as exc:
            raise errors.RemoteError(server=name, why=f"the answer cannot be read: {exc}") from exc
