"""Subjects: whose events a message carries, and where it is asked whether they are persisted.

A subject's token holds no dot, and Kubernetes names may: in a token "." is written %2E, and "%" is written %25.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ._contract import Code, InvalidEvent, quote

#: The namespace of trials whose namespace is unknown: what came through Katib's gRPC interface.
NAMESPACE_UNKNOWN = "_"

_METRICS = "katib.metrics"
_FLUSH = "katib.flush"
_MAX_NAME = 253  # characters
_MAX_PRODUCER = 64  # characters

_LABEL = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_DNS1123 = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_PRODUCER = re.compile(rf"[A-Za-z0-9._%-]{{1,{_MAX_PRODUCER}}}")
_ESCAPE = re.compile("%2[5E]")


class Subject(NamedTuple):
    """Whose events a message carries; its text is the subject that it is published to.

    >>> str(Subject("default", "trial.v2", "me"))
    'katib.metrics.default.trial%2Ev2.me'
    """

    namespace: str
    trial: str
    #: The id of one writer of one trial: see :func:`katib_stream._identity.new_producer_id`.
    producer: str

    def __str__(self) -> str:
        return ".".join((_METRICS, *map(encode_token, self)))

    def check(self) -> None:
        """Raises InvalidEvent unless namespace, trial and producer are valid."""
        check_namespace(self.namespace)
        check_trial(self.trial)
        check_producer(self.producer)


def parse_subject(subject: str) -> Subject:
    """Reads the subject of a message. Each trial has exactly one spelling; InvalidEvent is raised for anything else."""
    prefix, rest = subject[: len(_METRICS) + 1], subject[len(_METRICS) + 1 :]
    tokens = rest.split(".")
    if prefix != _METRICS + "." or len(tokens) != len(Subject._fields):
        detail = f"subject {quote(subject)} is not {_METRICS}.<namespace>.<trial>.<producer>"
        raise InvalidEvent(detail, code="subject")
    parsed = Subject(*map(_decode_token, tokens))
    parsed.check()
    return parsed


def flush_subject(namespace: str, trial: str) -> str:
    """Gives the subject on which it is asked whether a trial's reports are persisted."""
    return ".".join((_FLUSH, encode_token(namespace), encode_token(trial)))


def encode_token(name: str) -> str:
    """Writes a name as one token of a subject."""
    return name.replace("%", "%25").replace(".", "%2E")


def _decode_token(token: str) -> str:
    name = _ESCAPE.sub(lambda escape: "." if escape[0] == "%2E" else "%", token)
    if encode_token(name) != token:
        raise InvalidEvent(f"subject token {quote(token)}: % may only stand in %2E and %25", code="subject")
    return name


def check_namespace(namespace: str) -> None:
    """Raises InvalidEvent unless the namespace is a Kubernetes name, or the unknown one."""
    if namespace != NAMESPACE_UNKNOWN:
        _check_name("namespace", "namespace", namespace)


def check_trial(trial: str) -> None:
    """Raises InvalidEvent unless the trial's name is a valid Kubernetes name."""
    _check_name("trial", "trial name", trial)


def check_producer(producer: str) -> None:
    """Raises InvalidEvent unless the producer's id is 1 to 64 letters, digits, "-", "_", "." or "%"."""
    if not _PRODUCER.fullmatch(producer):
        detail = f"the producer id {quote(producer)} is not 1 to {_MAX_PRODUCER} letters, digits, '-', '_', '.' or '%'"
        raise InvalidEvent(detail, code="producer")


def _check_name(code: Code, what: str, name: str) -> None:
    if not name:
        raise InvalidEvent(f"the {what} is empty", code=code)
    if len(name) > _MAX_NAME:
        raise InvalidEvent(f"the {what} {quote(name)} is longer than {_MAX_NAME} characters", code=code)
    if not _DNS1123.fullmatch(name):
        detail = (
            f"the {what} {quote(name)} is no Kubernetes name"
            " (lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit)"
        )
        raise InvalidEvent(detail, code=code)
