"""What a reporter can be told: parameters first, then the environment, then defaults."""

from __future__ import annotations

import os
import re
from typing import Any

from ._errors import ConfigError
from ._spool import SPOOL_BYTES, default_folder
from ._subject import check_namespace, check_trial

#: Where Kubernetes tells a pod its namespace.
NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

# By hand, because it is slow to import urllib, and what a thread imports while another forks the child never has.
_URL = re.compile(
    r"(?:nats|tls|wss?)://(?:[^/?#\s]*@)?(?:\[[0-9a-f:.%]+\]|[^\[\]/?#@:\s]+)(?::(?P<port>[0-9]{0,5}))?(?:[/?#].*)?",
    re.I,
)
_SIZE = re.compile(r"([0-9]+) *(?:([KMGT])i?)?B?", re.I)
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ms|s|m|)")
_LENGTHS = {"ms": 0.001, "s": 1.0, "m": 60.0, "": 1.0}


class Settings:
    """The settings of one reporter, each with the variable that sets it where no parameter does."""

    def __init__(self, given: dict[str, Any], environ: dict[str, str]) -> None:
        self._by: dict[str, str] = {}  # the variables that set something

        def setting(name: str, *variables: str) -> str:
            if given.get(name) is not None:
                return str(given[name])
            variable = next((v for v in variables if environ.get(v)), None)
            if variable is None:
                return ""
            self._by[name] = variable
            return environ[variable]

        self.trial = setting("trial", "KATIB_TRIAL_NAME")
        self.namespace = setting("namespace", "KATIB_STREAM_NAMESPACE") or _pod_namespace()
        servers = given.get("servers")
        if servers is None:
            servers = setting("servers", "KATIB_STREAM_SERVERS", "NATS_URL") or "nats://127.0.0.1:4222"
        self.servers = _servers(servers, self._source("servers"))
        self.credentials = setting("credentials", "KATIB_STREAM_CREDS")
        self.user = setting("user", "KATIB_STREAM_USER")
        self.password = setting("password", "KATIB_STREAM_PASSWORD")
        self.token = setting("token", "KATIB_STREAM_TOKEN")
        self.token_file = setting("token_file", "KATIB_STREAM_TOKEN_FILE")
        self.tls_ca = setting("tls_ca", "KATIB_STREAM_TLS_CA")
        self.tls_cert = setting("tls_cert", "KATIB_STREAM_TLS_CERT")
        self.tls_key = setting("tls_key", "KATIB_STREAM_TLS_KEY")
        self.inbox_prefix = setting("inbox_prefix", "KATIB_STREAM_INBOX_PREFIX") or "_INBOX"
        self.spool = setting("spool", "KATIB_STREAM_SPOOL")
        size = setting("spool_bytes", "KATIB_STREAM_SPOOL_BYTES")
        self.spool_bytes = _bytes(self._source("spool_bytes"), size, SPOOL_BYTES)
        self.ranks = setting("ranks", "KATIB_STREAM_RANKS") or "0"
        self.on_undelivered = setting("on_undelivered", "KATIB_STREAM_ON_UNDELIVERED") or "warn"
        timeout = setting("exit_timeout", "KATIB_STREAM_EXIT_TIMEOUT")
        self.exit_timeout = _seconds(self._source("exit_timeout"), timeout, 20.0)
        self._validate()

    def _source(self, name: str) -> str:
        """Gives the name by which a setting was given: the variable's, or the parameter's."""
        return self._by.get(name, name)

    def _validate(self) -> None:
        if not self.trial:
            raise ConfigError(
                "no trial is given: set KATIB_TRIAL_NAME, as Katib does in the pods of a Trial, or trial=…"
            )
        check_trial(self.trial)
        check_namespace(self.namespace)
        source = self._source
        _one_of(source("ranks"), self.ranks, ("0", "all"))
        _one_of(source("on_undelivered"), self.on_undelivered, ("warn", "fail"))
        if self.token and self.token_file:
            raise ConfigError(f"{source('token')} and {source('token_file')} are both given; give one")
        if bool(self.tls_cert) != bool(self.tls_key):
            there, missing = ("tls_cert", "tls_key") if self.tls_cert else ("tls_key", "tls_cert")
            raise ConfigError(f"{source(there)} is given without {missing}; they go together")
        for name in ("credentials", "token_file", "tls_ca", "tls_cert", "tls_key"):
            path = getattr(self, name)
            if path and not os.access(path, os.R_OK):
                raise ConfigError(f"{source(name)} {path} is no file that can be read")

    def spool_folder(self) -> str | None:
        """Gives the folder of the spool, None for memory only. Raises OSError when the default one cannot be used."""
        if self.spool == "none":
            return None
        return self.spool or default_folder()


def _pod_namespace() -> str:
    try:
        with open(NAMESPACE_FILE) as file:
            return file.read().strip()
    except FileNotFoundError:
        return "default"
    except OSError as err:
        raise ConfigError(f"the pod's namespace cannot be read: {err}") from err


def _servers(servers: str | list[str] | tuple[str, ...], source: str) -> list[str]:
    """Takes a list of URLs apart. Errors never repeat what may hold a password."""
    if not isinstance(servers, (str, list, tuple)):
        raise ConfigError(f"{source} is neither a text with URLs nor a list of them")
    parts = servers.split(",") if isinstance(servers, str) else list(servers)
    urls = []
    for part in (part.strip() for part in parts):
        if not part:
            continue
        url = part if "://" in part else "nats://" + part
        match = _URL.fullmatch(url)
        if match is None or not 0 < int(match["port"] or 4222) < 1 << 16:
            raise ConfigError(f"{source}: {redact(part)} is no NATS URL like nats://host:4222")
        urls.append(url)
    if not urls:
        raise ConfigError(f"no server is given in {source}")
    return urls


def redact(url: str) -> str:
    """Hides user, password and token in a URL, well-formed or not."""
    scheme, found, rest = url.rpartition("://")
    _, at, host = rest.rpartition("@")
    return f"{scheme}{found}***@{host}" if at else url


def _bytes(name: str, text: str, default: int) -> int:
    """Reads a number of bytes, as the flags of katib-stream have it: 512MiB, 10G, or plain bytes."""
    if not text:
        return default
    match = _SIZE.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        raise ConfigError(f"{name} is {text!r}, no number of bytes above 0, like 268435456 or 256MiB")
    exponent = "KMGT".index(match[2].upper()) + 1 if match[2] else 0
    return int(match[1]) << 10 * exponent


def _seconds(name: str, text: str, default: float) -> float:
    """Reads a length of time: a number of seconds, or like the flags of katib-stream 500ms, 20s and 1m."""
    if not text:
        return default
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _LENGTHS[match[2]] if match else -1.0
    if not 0 <= seconds < 1e6:
        raise ConfigError(f"{name} is {text!r}, no length of time from 0 on, like 20 or 20s")
    return seconds


def _one_of(name: str, text: str, choices: tuple[str, ...]) -> None:
    if text not in choices:
        raise ConfigError(f"{name} is {text!r}, neither {' nor '.join(choices)}")
