"""Subjects and identities: their vectors, both ways, and the ids of producers."""

from __future__ import annotations

import time
import uuid

import pytest

import vectors
from katib_stream import InvalidEvent
from katib_stream._identity import Identity, identity_of, message_id, new_producer_id
from katib_stream._subject import Subject, check_producer, flush_subject, parse_subject

SUBJECTS = vectors.load("subjects.json", "name subject namespace trial producer code")
IDENTITIES = vectors.load("identities.json", "name producer msg_id epoch sequence source number numbered")


@pytest.mark.parametrize("row", SUBJECTS, ids=vectors.names(SUBJECTS))
def test_subject(row: vectors.Row) -> None:
    subject = vectors.text(row["subject"])
    if "code" in row:
        with pytest.raises(InvalidEvent) as caught:
            parse_subject(subject)
        assert (caught.value.code, caught.value.line) == (row["code"], 0)
        return
    parsed = Subject(*(vectors.text(row[field]) for field in Subject._fields))
    assert parse_subject(subject) == parsed
    assert str(parsed) == subject


def test_flush_subject() -> None:
    assert flush_subject("team.a", "trial.v1") == "katib.flush.team%2Ea.trial%2Ev1"


@pytest.mark.parametrize("row", IDENTITIES, ids=vectors.names(IDENTITIES))
def test_identity(row: vectors.Row) -> None:
    identity = identity_of(row["producer"], row["msg_id"], row["epoch"], row["sequence"])
    assert identity == Identity(row["source"], row["number"])
    assert identity.numbered == row["numbered"]
    if identity.numbered:
        assert message_id(*identity) == row["msg_id"]


def test_identity_of_a_header_that_is_not_utf8() -> None:
    assert not identity_of("me", "\udcff", "epoch", 1).numbered


def test_producer_id_is_a_uuid_of_version_7() -> None:
    before = time.time_ns() // 1_000_000
    made = new_producer_id()
    after = time.time_ns() // 1_000_000
    parsed = uuid.UUID(made)
    assert parsed.hex == made
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert before <= parsed.int >> 80 <= after
    check_producer(made)


def test_producer_ids_differ_and_follow_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len({new_producer_id() for _ in range(10_000)}) == 10_000
    monkeypatch.setattr(time, "time_ns", lambda: 1_795_521_600_123_999_999)
    early = new_producer_id()
    monkeypatch.setattr(time, "time_ns", lambda: 1_795_521_600_124_000_000)
    late = new_producer_id()
    assert early < late
    assert int(early[:12], 16) + 1 == int(late[:12], 16) == 1_795_521_600_124


def test_producer_id_uses_all_random_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    monkeypatch.setattr("os.urandom", lambda count: b"\xff" * count)
    assert new_producer_id() == "0000000000007fffbfffffffffffffff"
    monkeypatch.setattr("os.urandom", bytes)
    assert new_producer_id() == "00000000000070008000000000000000"
