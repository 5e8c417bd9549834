"""Credentials and certificates for the tests, made afresh: NATS JWTs with their seeds, and files for TLS."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import nkeys

_EVERYTHING = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
_JETSTREAM = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)


class Operator:
    """An operator with an account that may use JetStream: who signs users' credentials."""

    def __init__(self) -> None:
        self._operator = _key(nkeys.PREFIX_BYTE_OPERATOR)
        self._account = _key(nkeys.PREFIX_BYTE_ACCOUNT)
        self._system = _key(nkeys.PREFIX_BYTE_ACCOUNT)

    def config(self) -> str:
        """Gives the configuration of a server that trusts the operator."""
        limits = {**_EVERYTHING, "wildcards": True}
        account = self._jwt(self._operator, self._account, "account", limits={**limits, **_JETSTREAM})
        system = self._jwt(self._operator, self._system, "account", limits=limits)
        return f"""
            operator: {self._jwt(self._operator, self._operator, "operator")}
            system_account: {_name(self._system)}
            resolver: MEMORY
            resolver_preload: {{ {_name(self._account)}: {account}, {_name(self._system)}: {system} }}
        """

    def user(self, path: Path, lasts: float = 3600) -> None:
        """Writes credentials that last so many seconds from now on, in whole ones; the file is replaced in one step."""
        user = _key(nkeys.PREFIX_BYTE_USER)
        rights = {"pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1}
        jwt = self._jwt(self._account, user, "user", expires=int(time.time() + lasts), **rights)
        text = (
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
        )
        new = path.with_suffix(".new")
        new.write_text(text)
        new.replace(path)

    def _jwt(self, issuer: Any, subject: Any, kind: str, expires: int = 0, **claims: Any) -> str:
        body: dict[str, Any] = {"jti": os.urandom(8).hex(), "iat": int(time.time()), "name": kind}
        body |= {"iss": _name(issuer), "sub": _name(subject), "nats": {"type": kind, "version": 2, **claims}}
        if expires:
            body["exp"] = expires
        text = ".".join(_base64(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, body))
        return f"{text}.{_base64(issuer.sign(text.encode()))}"


def _key(prefix: int) -> Any:
    return nkeys.from_seed(nkeys.encode_seed(os.urandom(32), prefix))


def _name(key: Any) -> str:
    return str(key.public_key.decode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def certificates(folder: Path, *names: str) -> None:
    """Makes an authority of the test's own, `ca.pem`, and for each name a certificate that it signed, for 127.0.0.1.

    The files are `<name>.pem` and `<name>.key`.
    """
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    _openssl(folder, "req", "-x509", *key, "-subj", "/CN=test", "-keyout", "ca.key", "-out", "ca.pem")
    for name in names:
        files = ["-keyout", f"{name}.key", "-out", f"{name}.csr"]
        _openssl(folder, "req", *key[:-2], "-subj", f"/CN={name}", *files)
        (folder / "extensions").write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
        authority = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "extensions"]
        _openssl(folder, "x509", "-req", "-in", f"{name}.csr", *authority, "-out", f"{name}.pem")


def _openssl(folder: Path, *args: str) -> None:
    done = subprocess.run(["openssl", *args], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
