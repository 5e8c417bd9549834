"""Which message goes when, and what the stream's answers mean."""

from __future__ import annotations

import json

import pytest

from katib_stream._lane import ACK_WAIT, DENIED_WAIT, MAX_IN_FLIGHT, Answer, Lane, read_answer
from katib_stream._outbox import Message, Outbox

NOW = 1000.0


def lane_of(messages: int, events: int = 1) -> tuple[Lane, Outbox]:
    outbox = Outbox("me")
    for _ in range(messages):
        for _ in range(events):
            outbox.append('{"loss":1}', None, None)
        outbox.cut()
    return Lane(outbox, "default", "my-trial", leftover=False), outbox


def send(lane: Lane, now: float = NOW) -> list[Message]:
    sent = []
    message = lane.next(now)
    while message is not None:
        sent.append(message)
        message = lane.next(now)
    return sent


def answer(lane: Lane, number: int, now: float = NOW, **said: object) -> None:
    lane.answered(number, Answer(**said), now)  # type: ignore[arg-type]


def test_a_bounded_number_is_in_flight() -> None:
    lane, outbox = lane_of(MAX_IN_FLIGHT + 5)
    assert len(send(lane)) == MAX_IN_FLIGHT
    answer(lane, 1)
    assert [m.number for m in send(lane)] == [MAX_IN_FLIGHT + 1]
    assert outbox.stored == 1


def test_what_is_not_acknowledged_in_time_is_sent_again_under_its_number() -> None:
    lane, _ = lane_of(1)
    (first,) = send(lane)
    lane.expire(NOW + ACK_WAIT - 1)
    assert send(lane, NOW + ACK_WAIT - 1) == []
    lane.expire(NOW + ACK_WAIT)
    assert "no acknowledgement" in lane.stuck
    (again,) = send(lane, NOW + ACK_WAIT + 1)
    assert (again.number, again.attempts, again.uncertain) == (first.number, 2, True)


def test_after_a_failure_one_message_probes_and_its_answer_lets_the_rest_go() -> None:
    lane, _ = lane_of(3)
    send(lane)
    for number in (1, 2, 3):
        answer(lane, number, error="full")
    assert send(lane, NOW) == []
    (probe,) = send(lane, NOW + 1)
    assert probe.number == 1
    assert send(lane, NOW + 2) == []
    answer(lane, 1, NOW + 2)
    assert lane.stuck == ""
    assert [m.number for m in send(lane, NOW + 2)] == [2, 3]


def test_the_pause_between_probes_grows() -> None:
    lane, _ = lane_of(1)
    now, pauses = NOW, []
    for _ in range(9):
        send(lane, now)
        answer(lane, 1, now, error="full")
        pauses.append(lane.opens - now)
        now = lane.opens
    assert 0.05 <= pauses[0] <= 0.1
    assert all(2.5 <= pause <= 5 for pause in pauses[6:])


def test_a_late_answer_to_an_earlier_attempt_settles_but_opens_nothing() -> None:
    lane, _ = lane_of(2)
    send(lane)
    answer(lane, 1, error="full")
    answer(lane, 2)
    assert lane.stuck == "full"
    answer(lane, 2)  # nobody waits for it any more


def test_a_duplicate_is_a_conflict_only_at_the_first_attempt(capsys: pytest.CaptureFixture[str]) -> None:
    lane, outbox = lane_of(2)
    send(lane)
    answer(lane, 1, duplicate=True)
    assert outbox.refused == 1
    assert "used twice" in capsys.readouterr().err
    lane.lost()
    send(lane)
    answer(lane, 2, duplicate=True)
    assert (outbox.refused, outbox.stored) == (1, 2)


def test_too_large_is_split_until_it_fits() -> None:
    lane, outbox = lane_of(1, events=4)
    send(lane)
    answer(lane, 1, error="too large", too_large=True)
    sent = send(lane)
    assert sorted((m.number, m.attempts) for m in sent) == [(1, 1), (2, 1)]
    assert sum(m.events for m in sent) == 4
    answer(lane, 1)
    answer(lane, 2)
    assert (outbox.waiting(), outbox.refused) == (0, 0)


def test_too_large_is_given_up_when_the_stream_may_hold_it(capsys: pytest.CaptureFixture[str]) -> None:
    lane, outbox = lane_of(1, events=4)
    send(lane)
    lane.lost()
    send(lane)
    answer(lane, 1, error="too large", too_large=True)
    assert outbox.refused == 4
    assert "too large" in capsys.readouterr().err


def test_nobody_there_leaves_no_doubt() -> None:
    lane, _ = lane_of(1)
    (message,) = send(lane)
    answer(lane, 1, error="nobody", nobody=True)
    assert not message.uncertain


def test_what_is_not_permitted_is_noticed_soon() -> None:
    lane, _ = lane_of(1)
    send(lane)
    lane.denied = "not permitted to publish"
    lane.expire(NOW + DENIED_WAIT)
    assert lane.stuck == "not permitted to publish"
    lane.reopen()
    assert len(send(lane, NOW + DENIED_WAIT)) == 1


def test_the_end_of_the_run_is_marked_when_everything_is_settled() -> None:
    lane, _ = lane_of(2)
    lane.closing = True
    assert [m.final for m in send(lane)] == [False, False]
    answer(lane, 1)
    assert send(lane) == []
    answer(lane, 2)
    (last,) = send(lane)
    assert (last.number, last.final) == (3, True)
    assert not lane.complete()
    answer(lane, 3)
    assert lane.complete()


def test_a_run_without_events_has_no_end_to_mark() -> None:
    lane, _ = lane_of(0)
    lane.closing = True
    assert send(lane) == []
    assert lane.complete()


def test_due_is_the_next_deadline() -> None:
    lane, _ = lane_of(1)
    assert lane.due(NOW) > 60
    send(lane)
    assert lane.due(NOW + 1) == ACK_WAIT - 1
    answer(lane, 1, error="full")
    assert 0 < lane.due(NOW) <= 0.1


@pytest.mark.parametrize(
    ("data", "headers", "error", "flags"),
    [
        pytest.param({"stream": "KATIB_METRICS", "seq": 1}, None, "", set(), id="stored"),
        pytest.param({"stream": "KATIB_METRICS", "seq": 1, "duplicate": True}, None, "", {"duplicate"}, id="duplicate"),
        pytest.param({"stream": "OTHER", "seq": 1}, None, "not KATIB_METRICS", set(), id="another stream"),
        pytest.param(
            {"error": {"code": 400, "err_code": 10054, "description": "message size exceeds maximum allowed"}},
            None,
            "exceeds",
            {"too_large"},
            id="too large",
        ),
        pytest.param(
            {"error": {"code": 503, "err_code": 10077, "description": "maximum bytes exceeded"}},
            None,
            "10077",
            set(),
            id="full",
        ),
        pytest.param(None, {"Status": "503"}, "no stream takes", {"nobody"}, id="no responders"),
        pytest.param(None, None, "cannot be read", set(), id="empty"),
        pytest.param([], None, "cannot be read", set(), id="not an object"),
    ],
)
def test_answers(data: object, headers: dict[str, str] | None, error: str, flags: set[str]) -> None:
    said = read_answer(b"" if data is None else json.dumps(data).encode(), headers)
    assert (error in said.error) if error else said.error == ""
    assert {name for name in ("duplicate", "too_large", "nobody") if getattr(said, name)} == flags
