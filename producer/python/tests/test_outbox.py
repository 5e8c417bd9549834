"""What was accepted and is not settled: batches, numbers, files, and what a signal may interrupt."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from types import FrameType

import pytest

from katib_stream import ClosedError, EventTooLarge, InvalidEvent
from katib_stream._message import decode_events
from katib_stream._outbox import MAX_LINE, Message, Outbox, leftover
from katib_stream._spool import Spool

PRODUCER = "0" * 32


def report(outbox: Outbox, value: float, given: int | None = None) -> bool:
    return outbox.append(f'{{"loss":{value!r}}}', None, given)


def take_all(outbox: Outbox) -> list[Message]:
    outbox.cut()
    taken = []
    message = outbox.take()
    while message is not None:
        taken.append(message)
        message = outbox.take()
    return taken


def values(messages: list[Message]) -> list[str]:
    return [event.metrics[0][1] for message in messages for event in decode_events(message.body)]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(str(tmp_path), 64 << 20, "default", "my-trial")


def opened(spool: Spool | None, **sizes: int) -> Outbox:
    outbox = Outbox(PRODUCER, spool, **sizes)
    outbox.open()
    return outbox


def recovered(spool: Spool) -> list[Message]:
    """Settles what dead processes left, and gives it."""
    found = []
    for segment, content in spool.leftovers():
        outbox = leftover(content.description["producer"], spool, segment, content.messages)
        messages = take_all(outbox)
        for message in messages:
            outbox.settled(message, stored=True)
        found += messages
        outbox.close()
    return found


def test_a_batch_ends_when_it_is_cut_or_full() -> None:
    outbox = opened(None, batch_bytes=150)
    for value in range(5):
        report(outbox, value)
    messages = take_all(outbox)
    assert [message.number for message in messages] == [1, 2, 3]
    assert all(len(message.body) <= 150 for message in messages)
    assert values(messages) == ["0", "1", "2", "3", "4"]
    assert outbox.cut() == 3
    assert outbox.waiting() == 5


def test_times_strictly_increase_and_given_ones_are_kept() -> None:
    outbox = opened(None)
    future = 4_000_000_000_000_000_123
    report(outbox, 1)
    report(outbox, 2, future)
    report(outbox, 3)
    report(outbox, 4, 5)
    report(outbox, 5)
    times = [event.time for event in decode_events(take_all(outbox)[0].body)]
    assert times[1] == future
    assert times[2] == 4_000_000_000_000_002_000
    assert times[3] == 5
    assert times[4] == 4_000_000_000_000_003_000


def test_a_time_of_the_last_year_is_not_followed() -> None:
    outbox = opened(None)
    report(outbox, 1, 253_402_300_799_999_999_999)
    report(outbox, 2)
    first, second = decode_events(take_all(outbox)[0].body)
    assert first.time == 253_402_300_799_999_999_999
    assert second.time is not None
    assert second.time < first.time


def test_a_time_out_of_range_is_refused_and_leaves_the_clock_alone() -> None:
    outbox = opened(None)
    with pytest.raises(InvalidEvent):
        report(outbox, 1, 10**21)
    report(outbox, 2)
    assert outbox.waiting() == 1


def test_an_event_that_no_message_can_carry_is_refused() -> None:
    outbox = opened(None)
    with pytest.raises(EventTooLarge):
        outbox.append('{"loss":"' + "9" * MAX_LINE + '"}', None, None)
    assert outbox.waiting() == 0


def test_a_full_buffer_refuses_until_something_is_settled() -> None:
    outbox = opened(None, buffer_bytes=150)
    assert report(outbox, 1)
    assert report(outbox, 2)
    assert not report(outbox, 3)
    outbox.settled(take_all(outbox)[0], stored=True)
    assert report(outbox, 4)
    assert outbox.waiting() == 1


def test_everything_settled_leaves_no_file(spool: Spool) -> None:
    outbox = opened(spool)
    report(outbox, 1)
    assert len(os.listdir(spool.folder)) == 1
    for message in take_all(outbox):
        outbox.settled(message, stored=True)
    outbox.close()
    assert os.listdir(spool.folder) == []


def test_what_is_not_settled_is_left_under_the_same_numbers(spool: Spool) -> None:
    outbox = opened(spool)
    for value in range(3):
        report(outbox, value)
        outbox.cut()
    first, *_ = take_all(outbox)
    outbox.settled(first, stored=True)
    report(outbox, 3)  # not even cut
    outbox.close()
    left = recovered(spool)
    assert [(message.number, message.uncertain) for message in left] == [(2, True), (3, True), (4, True)]
    assert values(left) == ["1", "2", "3"]
    assert os.listdir(spool.folder) == []


def test_a_living_process_keeps_its_files(spool: Spool) -> None:
    outbox = opened(spool)
    report(outbox, 1)
    assert recovered(Spool(spool.folder, 64 << 20, "default", "other")) == []
    assert outbox.waiting() == 1


def test_the_next_file_begins_with_a_new_message(spool: Spool) -> None:
    outbox = opened(spool)
    count = 0
    while len(os.listdir(spool.folder)) < 3:
        report(outbox, count)
        count += 1
    messages = take_all(outbox)
    assert len({id(message.segment) for message in messages}) == 3
    for message in messages[:-1]:
        outbox.settled(message, stored=True)
    assert len(os.listdir(spool.folder)) == 1
    outbox.close()
    assert values(recovered(spool)) == values(messages[-1:])


def test_a_prepared_file_is_taken(spool: Spool) -> None:
    outbox = opened(spool)
    while outbox._open.segment is not None and not outbox._open.segment.half_full():
        report(outbox, 1)
    outbox.prepare()
    assert len(os.listdir(spool.folder)) == 2
    outbox.prepare()
    assert len(os.listdir(spool.folder)) == 2
    for message in take_all(outbox):
        outbox.settled(message, stored=True)
    outbox.close()
    assert os.listdir(spool.folder) == []


def test_an_event_larger_than_a_file_gets_a_larger_one(spool: Spool) -> None:
    outbox = opened(spool)
    value = "9" * 60_000
    metrics = "{" + ",".join(f'"m{i}":"{value}"' for i in range(16)) + "}"
    assert outbox.append(metrics, None, None)
    assert outbox.append(metrics, None, None)
    outbox.close()
    assert len(recovered(spool)) == 2


@pytest.mark.parametrize("events", [2, 3, 10])
def test_a_split_is_found_again(spool: Spool, events: int) -> None:
    outbox = opened(spool)
    for value in range(events):
        report(outbox, value)
    outbox.cut()
    report(outbox, events)  # in the batch behind it
    message = outbox.take()
    assert message is not None
    assert outbox.split(message)
    rest = outbox.take()
    assert rest is not None
    assert (message.number, rest.number) == (1, 3)
    assert message.events + rest.events == events
    outbox.settled(message, stored=True)
    outbox.close()
    left = recovered(spool)
    assert {m.number: values([m]) for m in left} == {
        2: [str(events)],
        3: [str(v) for v in range(events - rest.events, events)],
    }


def test_what_the_stream_may_hold_is_not_split() -> None:
    outbox = opened(None)
    for value in range(2):
        report(outbox, value)
    message = take_all(outbox)[0]
    message.uncertain = True
    assert not outbox.split(message)
    message.uncertain = False
    message.events = 1
    assert not outbox.split(message)


def test_what_is_given_up_is_set_aside_when_the_rest_is_stored(spool: Spool) -> None:
    outbox = opened(spool)
    for value in range(2):
        report(outbox, value)
        outbox.cut()
    first, second = take_all(outbox)
    outbox.settled(first, stored=False)
    outbox.settled(second, stored=True)
    outbox.close()
    assert outbox.refused == 1
    (name,) = os.listdir(spool.folder)
    assert name.endswith(".spool.aside")
    assert recovered(spool) == []


def test_the_last_message_is_marked(spool: Spool) -> None:
    outbox = opened(spool)
    report(outbox, 1)
    outbox.settled(take_all(outbox)[0], stored=True)
    last = outbox.finish()
    assert last is not None
    assert (last.number, last.final, last.events) == (2, True, 0)
    outbox.close()
    (left,) = recovered(spool)
    assert (left.number, left.final, left.body) == (2, True, b"")


def test_a_full_folder_means_memory_and_then_files_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(str(tmp_path), 1000, "default", "my-trial")
    outbox = opened(spool)
    report(outbox, 1)
    outbox.prepare()
    report(outbox, 2)
    assert capsys.readouterr().err.count("kept in memory only") == 1
    assert outbox.in_memory_only() == 2
    monkeypatch.setattr(spool, "_limit", 64 << 20)
    monkeypatch.setattr(spool, "_failed", float("-inf"))
    outbox.prepare()
    report(outbox, 3)
    assert outbox.in_memory_only() == 2
    assert values(take_all(outbox)) == ["1", "2", "3"]
    outbox.close()
    assert values(recovered(spool)) == ["3"]


def test_a_signal_handler_may_report_in_the_middle_of_a_report(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = opened(spool)
    stamp = outbox._stamp

    def interrupted(microseconds: int) -> str:
        monkeypatch.setattr(outbox, "_stamp", stamp)
        assert report(outbox, 2)
        return stamp(microseconds)

    monkeypatch.setattr(outbox, "_stamp", interrupted)
    assert report(outbox, 1)
    assert values(take_all(outbox)) == ["1", "2"]


def test_what_a_signal_handler_must_wait_for_is_done_after_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = opened(None)
    done = []
    stamp = outbox._stamp

    def interrupted(microseconds: int) -> str:
        monkeypatch.setattr(outbox, "_stamp", stamp)
        assert outbox.after(lambda: done.append(outbox.waiting()))
        assert done == []
        return stamp(microseconds)

    assert not outbox.after(lambda: None)
    monkeypatch.setattr(outbox, "_stamp", interrupted)
    report(outbox, 1)
    assert done == [1]


def test_what_a_handler_reported_is_not_lost_when_the_interrupted_report_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outbox = opened(None)
    stamp = outbox._stamp

    def interrupted(microseconds: int) -> str:
        monkeypatch.setattr(outbox, "_stamp", stamp)
        report(outbox, 2)
        return stamp(microseconds)

    monkeypatch.setattr(outbox, "_stamp", interrupted)
    with pytest.raises(EventTooLarge):
        outbox.append('{"loss":"' + "9" * MAX_LINE + '"}', None, None)
    assert values(take_all(outbox)) == ["2"]


class InterruptionError(Exception):
    """What a signal's handler raises."""


class Interruption:
    """Raises before the nth line of the outbox that is run."""

    def __init__(self, place: int) -> None:
        self.left = place

    def __call__(self, frame: FrameType, event: str, _argument: object) -> Interruption | None:
        # Not where the lock is taken and given back: Python itself sees to it that no signal comes in between.
        if not frame.f_code.co_filename.endswith("_outbox.py") or not frame.f_code.co_name.startswith("_"):
            return self
        if event == "line" and frame.f_code.co_name != "_catch_up":
            self.left -= 1
            if self.left == 0:
                raise InterruptionError
        return self

    def report(self, outbox: Outbox, value: float) -> bool:
        sys.settrace(self)
        try:
            return report(outbox, value)
        except InterruptionError:
            return False
        finally:
            sys.settrace(None)


def test_an_exception_anywhere_in_a_report_leaves_each_number_with_one_message(spool: Spool) -> None:
    """As Ctrl-C may raise one, while messages end."""
    interrupted, place = True, 0
    while interrupted:
        place += 1
        outbox = opened(spool, batch_bytes=100)
        interruption = Interruption(place)
        accepted = [str(value) for value in range(6) if interruption.report(outbox, value)]
        interrupted = interruption.left <= 0
        taken = take_all(outbox)
        assert len({message.number for message in taken}) == len(taken), place
        assert [value for value in values(taken) if value in accepted] == accepted, place
        assert len(values(taken)) == len(set(values(taken))), place
        for message in taken:
            outbox.settled(message, stored=True)
        outbox.close()
        assert os.listdir(spool.folder) == [], place
    assert place > 60


def test_a_wave_is_what_was_accepted_before_it() -> None:
    outbox = opened(None)
    report(outbox, 1)
    wave = outbox.begin_wave()
    report(outbox, 2)
    first, second = take_all(outbox)
    outbox.settled(second, stored=True)
    assert not outbox.settled_upto(wave.number)
    outbox.settled(first, stored=True)
    assert outbox.settled_upto(wave.number)
    assert (wave.stored, outbox.stored) == (1, 2)
    outbox.end_wave(wave)


def test_the_rest_of_a_split_belongs_to_the_wave_of_the_whole() -> None:
    outbox = opened(None)
    for value in range(2):
        report(outbox, value)
    wave = outbox.begin_wave()
    message = outbox.take()
    assert message is not None
    assert outbox.split(message)
    outbox.settled(message, stored=True)
    assert not outbox.settled_upto(wave.number)
    assert outbox.waiting(wave.number) == 1
    rest = outbox.take()
    assert rest is not None
    outbox.settled(rest, stored=True)
    assert (wave.stored, rest.number) == (2, 2)
    assert outbox.settled_upto(wave.number)


def test_a_split_that_cannot_be_noted_hides_the_file(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = opened(spool)
    for value in range(2):
        report(outbox, value)
    outbox.cut()
    message = outbox.take()
    assert message is not None
    monkeypatch.setattr(spool, "note", lambda *_: False)
    assert outbox.split(message)
    (name,) = os.listdir(spool.folder)
    assert name.endswith(".aside")
    for half in (message, *take_all(outbox)):
        outbox.settled(half, stored=True)
    outbox.close()
    assert os.listdir(spool.folder) == []


def test_nothing_is_accepted_after_the_end() -> None:
    outbox = opened(None)
    report(outbox, 1)
    assert outbox.finish() is None
    outbox.settled(take_all(outbox)[0], stored=True)
    assert outbox.finish() is not None
    with pytest.raises(ClosedError):
        report(outbox, 2)


def test_the_numbers_of_a_long_run() -> None:
    outbox = opened(None)
    for value in range(300):
        report(outbox, value)
        (message,) = take_all(outbox)
        assert message.number == value + 1
        outbox.settled(message, stored=True)
    assert len(outbox._cut) < 100
    assert outbox.idle()


def test_threads_share_an_outbox(spool: Spool) -> None:
    outbox = opened(spool)
    threads = [
        threading.Thread(target=lambda first=first: [report(outbox, first + i) for i in range(2000)])
        for first in range(0, 8000, 2000)
    ]
    taken: list[Message] = []
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        taken += take_all(outbox)
    taken += take_all(outbox)
    assert [message.number for message in taken] == list(range(1, len(taken) + 1))
    assert sorted(map(int, values(taken))) == list(range(8000))
    times = [event.time for message in taken for event in decode_events(message.body)]
    assert times == sorted(set(map(int, map(str, times))))
    outbox.close()
    assert len(values(recovered(spool))) == 8000
