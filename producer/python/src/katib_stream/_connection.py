"""One connection to NATS: who connects where, from settings. It ends when it breaks; the caller makes the next.

nats-py can reconnect by itself, but closes for good when credentials expire, and keeps what was published meanwhile
in a buffer of its own. A new client for every attempt does the same for all reasons, and reads rotated files again.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Callable

from nats.aio.client import Client

from ._settings import Settings

_CONNECT_TIMEOUT = 5  # seconds
_END_WAIT = 0.5  # seconds that a connection which did not come about has to end
_PING_INTERVAL = 10  # seconds; a server that answers none of two is gone


async def connect(
    settings: Settings, server: str, closed: Callable[[], None], trouble: Callable[[Exception], None]
) -> Client:
    """Connects to one server. `closed` is called when the connection has ended, `trouble` with what the server says.

    Raises whatever nats-py does, and OSError.
    """

    async def on_closed() -> None:
        closed()

    connected = False

    async def on_error(err: Exception) -> None:
        if not connected:
            raise err  # else nats-py tries this server again, 60 times, and nobody tries the next one
        trouble(err)

    client = Client()
    try:
        await client.connect(
            servers=[server],
            name=f"katib_stream {settings.trial}",
            allow_reconnect=False,
            connect_timeout=_CONNECT_TIMEOUT,
            ping_interval=_PING_INTERVAL,
            max_outstanding_pings=2,
            # A client that holds more waits for its socket, for ever when the connection hangs. We send little.
            pending_size=1 << 30,
            inbox_prefix=settings.inbox_prefix,
            error_cb=on_error,
            closed_cb=on_closed,
            **_credentials(settings),
            **_tls(settings, server),
        )
    except BaseException:
        await _end(client)
        raise
    connected = True
    _note_tls(client)
    return client


def abort(client: Client) -> None:
    """Ends a connection at once, also one that hangs with what it should still send."""
    writer = getattr(client._transport, "_io_writer", None)
    if writer is not None:
        writer.transport.abort()


def _note_tls(client: Client) -> None:
    """Tells asyncio's protocol that it speaks TLS, as asyncio's own start_tls does; else it warns at its end."""
    writer = getattr(client._transport, "_io_writer", None)
    if writer is not None and writer.get_extra_info("ssl_object") is not None:
        writer.transport.get_protocol()._over_ssl = True


async def _end(client: Client) -> None:
    # When TLS did not come about, nats-py waits for ever for the end of a connection that never ends.
    closing = asyncio.ensure_future(client.close())
    await asyncio.wait({closing}, timeout=_END_WAIT)
    closing.cancel()
    abort(client)


def _credentials(settings: Settings) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if settings.credentials:
        options["user_credentials"] = settings.credentials
    if settings.user or settings.password:
        options["user"], options["password"] = settings.user, settings.password
    if settings.token_file:
        options["token"] = lambda: _read(settings.token_file)
    elif settings.token:
        options["token"] = settings.token
    return options


def _read(path: str) -> str:
    with open(path) as file:
        return file.read().strip()


def _tls(settings: Settings, server: str) -> dict[str, Any]:
    if not (settings.tls_ca or settings.tls_cert or server.startswith(("tls://", "wss://"))):
        return {}
    context = ssl.create_default_context(cafile=settings.tls_ca or None)
    if settings.tls_cert:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    return {"tls": context}
