"""Asks the consumers' flush service whether a producer's messages are in Katib DB, for as long as it takes."""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import Callable

from nats import errors
from nats.aio.client import Client

#: How long one question waits for its answer, in seconds. The service answers within about 5 s.
_QUESTION = 7.0
_LOOK = 0.05  # seconds between looks at whether it may be asked at all
_FIRST_PAUSE, _MAX_PAUSE = 0.1, 2.0


class Persisted:
    """The answer: what of a producer's messages is persisted.

    `status` is the service's word: persisted, deleted or missing. It is empty when there was no answer, and then
    `trouble` says why.
    """

    def __init__(self, status: str = "", dead_letters: int = 0, missing: int = 0, trouble: str = "") -> None:
        self.status = status
        self.dead_letters = dead_letters
        self.missing = missing
        self.trouble = trouble


async def ask(
    client: Callable[[], Client | None],
    subject: str,
    producer: str,
    number: int,
    *,
    deadline: float,
    patience: float,
    denied: Callable[[], str],
) -> Persisted:
    """Asks until the answer is another than "pending".

    It gives up when the deadline, on the monotonic clock, has passed, or nobody has answered for `patience` seconds.
    """
    question = json.dumps({"producer": producer, "number": number}).encode()
    heard = time.monotonic()
    pause, trouble = _FIRST_PAUSE, "no consumer answers"
    while True:
        now = time.monotonic()
        asked = await _once(client(), subject, question, min(_QUESTION, deadline - now), denied)
        if denied():
            return Persisted(trouble=denied())
        if isinstance(asked, Persisted):
            if asked.status != "pending":
                return asked
            heard = time.monotonic()
            trouble = "no consumer has said yet that everything is in Katib DB"
            if heard - now >= 1:
                pause = _FIRST_PAUSE
        else:
            trouble = asked
        now = time.monotonic()
        if now >= deadline or now - heard >= patience:
            return Persisted(trouble=trouble)
        await asyncio.sleep(max(0.0, min(pause * random.uniform(0.5, 1), deadline - now)))
        pause = min(_MAX_PAUSE, pause * 2)


async def _once(
    client: Client | None, subject: str, question: bytes, timeout: float, denied: Callable[[], str]
) -> Persisted | str:
    """Asks once; a text says what went wrong."""
    if client is None or timeout <= 0:
        return "not connected" if client is None else "no consumer answers"
    asking = asyncio.ensure_future(client.request(subject, question, timeout=timeout))
    while not asking.done():
        if denied():  # which the server says apart, and nobody answers
            asking.cancel()
            return denied()
        await asyncio.wait({asking}, timeout=_LOOK)
    try:
        answer = asking.result()
    except (errors.TimeoutError, asyncio.TimeoutError):  # somebody took the question
        return Persisted("pending")
    except (errors.Error, OSError):
        return "no consumer answers"
    headers = answer.headers or {}
    code = headers.get("Nats-Service-Error-Code", "")
    if code:
        trouble = f"the consumer answers with error {code}: {headers.get('Nats-Service-Error', '')}"
        return Persisted("refused", trouble=trouble) if code.startswith("4") else trouble
    try:
        fields = json.loads(answer.data)
        return Persisted(str(fields["status"]), int(fields.get("dead_letters", 0)), int(fields.get("missing", 0)))
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        return f"the answer cannot be read: {err}"
