"""A NATS server with a configuration of the test's own, a consumer that may do everything, and a trial that may not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from servers import Consumer, Nats
from training import Training


class Site:
    """The three of them."""

    def __init__(self, binary: Path, nats_binary: Path, folder: Path, config: str, env: Mapping[str, str]) -> None:
        self.nats = Nats(nats_binary, folder, config)
        self.consumer = Consumer(binary, folder, self.nats.url, env)
        self.training = Training(folder / "training", binary, self.nats.url, self.consumer.database)
        self.training.flush_env = dict(env)

    def clean_up(self) -> None:
        """Kills what still runs."""
        self.training.clean_up()
        self.consumer.clean_up()
        self.nats.clean_up()


class MakeSite(Protocol):
    """Makes a site from the server's configuration, and the variables with which the consumer connects."""

    def __call__(self, config: str, **env: Any) -> Site:
        """Makes it."""
        ...


#: What the user "all", who may do everything, is told to a consumer.
ALL: dict[str, Any] = {"KATIB_STREAM_USER": "all", "KATIB_STREAM_PASSWORD": "secret"}
#: What the user "trainer" is told to a program.
TRAINER: dict[str, Any] = {"KATIB_STREAM_USER": "trainer", "KATIB_STREAM_PASSWORD": "secret"}


def users(publish: str = ">", subscribe: str = ">") -> str:
    """Gives the configuration with both users; the trainer may publish to, and subscribe to, these subjects alone."""
    permissions = f'publish: ["{publish}"], subscribe: ["{subscribe}"]'
    return f"""
        authorization {{ users: [
            {{ user: all, password: secret }}
            {{ user: trainer, password: secret, permissions: {{ {permissions} }} }}
        ] }}
    """
