"""Who connects where: each way to authenticate, and what changes while the program runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from credentials import Operator, certificates
from processes import free_port
from proxy import Proxy
from servers import Stream
from sites import ALL, TRAINER, MakeSite, Site, users
from training import Training


def _reports(training: Training, **env: Any) -> None:
    process = training.run("loop.py", 100, 0, "return", **env)
    assert process.err == ""
    training.check()


def test_user_and_password(site: MakeSite) -> None:
    _reports(site(users(), **ALL).training, **TRAINER)


def test_user_and_password_in_the_url(site: MakeSite) -> None:
    made = site(users(), **ALL)
    _reports(made.training, KATIB_STREAM_SERVERS=f"nats://trainer:secret@127.0.0.1:{made.nats.port}")


def test_a_wrong_password_lets_training_go_on_and_is_told(site: MakeSite) -> None:
    training = site(users(), **ALL).training
    wrong: dict[str, Any] = {**TRAINER, "KATIB_STREAM_PASSWORD": "no-such", "KATIB_STREAM_EXIT_TIMEOUT": 0.5}
    process = training.start("loop.py", 0, 0.01, "return", **wrong)
    process.said("delivery is stuck (not connected: ")
    training.stop(process)
    assert process.err.lower().count("authorization violation") == 2  # while it is stuck, and at the end
    assert "no-such" not in process.err
    _delivers(training, **TRAINER)


def _delivers(training: Training, **env: Any) -> None:
    """Has the next start deliver what was left."""
    training.start_next(**env)
    training.check()


def test_a_token(site: MakeSite) -> None:
    token: dict[str, Any] = {"KATIB_STREAM_TOKEN": "secret"}
    _reports(site("authorization { token: secret }", **token).training, **token)


def test_a_token_file_that_rotates(site: MakeSite, tmp_path: Path) -> None:
    made = site("authorization { token: first }", KATIB_STREAM_TOKEN="first")
    file = tmp_path / "token"
    file.write_text("first\n")
    process = made.training.start("loop.py", 0, 0.01, "return", KATIB_STREAM_TOKEN_FILE=file)
    made.training.stored(10)
    made.nats.kill()
    made.nats.start("authorization { token: second }")
    process.said("delivery is stuck")
    file.write_text("second\n")
    process.said("delivery goes again")
    made.consumer.kill()
    made.consumer.env["KATIB_STREAM_TOKEN"] = made.training.flush_env["KATIB_STREAM_TOKEN"] = "second"
    made.consumer.start()
    made.training.stop(process)
    made.training.check()


def test_credentials_that_expire_and_are_replaced(site: MakeSite, tmp_path: Path) -> None:
    operator = Operator()
    for name in ("consumer", "trainer"):
        operator.user(tmp_path / name)
    training = site(operator.config(), KATIB_STREAM_CREDS=tmp_path / "consumer").training
    operator.user(tmp_path / "trainer", lasts=2)
    process = training.start("loop.py", 0, 0.01, "return", KATIB_STREAM_CREDS=tmp_path / "trainer")
    training.stored(10)
    process.said("delivery is stuck (not connected: ")
    assert "expired" in process.err or "authorization violation" in process.err.lower()
    operator.user(tmp_path / "trainer")
    process.said("delivery goes again")
    training.stop(process)
    training.check()


@pytest.mark.parametrize("scheme", ["tls", "nats"])
def test_tls_with_an_authority_of_ones_own(site: MakeSite, tmp_path: Path, scheme: str) -> None:
    certificates(tmp_path, "server")
    ca: dict[str, Any] = {"KATIB_STREAM_TLS_CA": tmp_path / "ca.pem"}
    made = site(_tls(tmp_path, "verify: false"), **ca)
    _reports(made.training, KATIB_STREAM_SERVERS=f"{scheme}://127.0.0.1:{made.nats.port}", **ca)
    process = made.training.run("loop.py", 1, 0, "return", KATIB_STREAM_EXIT_TIMEOUT=2)
    assert "certificate" in process.err.lower()
    _delivers(made.training, **ca)


def test_mutual_tls(site: MakeSite, tmp_path: Path) -> None:
    certificates(tmp_path, "server", "client")
    ca: dict[str, Any] = {"KATIB_STREAM_TLS_CA": tmp_path / "ca.pem"}
    own: dict[str, Any] = {
        "KATIB_STREAM_TLS_CERT": tmp_path / "client.pem",
        "KATIB_STREAM_TLS_KEY": tmp_path / "client.key",
    }
    training = site(_tls(tmp_path, "verify: true"), **ca, **own).training
    _reports(training, **ca, **own)
    process = training.run("loop.py", 1, 0, "return", KATIB_STREAM_EXIT_TIMEOUT=1, **ca)
    assert "not connected" in process.err
    _delivers(training, **ca, **own)


def _tls(folder: Path, verify: str) -> str:
    return f"""
        tls {{
            cert_file: "{folder}/server.pem", key_file: "{folder}/server.key", ca_file: "{folder}/ca.pem", {verify}
        }}
    """


def test_an_inbox_prefix_of_ones_own(site: MakeSite) -> None:
    training = site(users(subscribe="inbox.trainer.>"), **ALL).training
    _reports(training, KATIB_STREAM_INBOX_PREFIX="inbox.trainer", **TRAINER)


@pytest.mark.parametrize("trial", ["my-trial", "my.trial"])
def test_a_user_who_may_report_for_his_trial_alone(site: MakeSite, trial: str) -> None:
    token = trial.replace(".", "%2E")
    publish = f'katib.metrics.default.{token}.*", "katib.flush.default.{token}'
    training = site(users(publish, "_INBOX.>"), **ALL).training
    training.trial = trial
    _reports(training, **TRAINER)
    other: dict[str, Any] = {"KATIB_TRIAL_NAME": "other.trial", "KATIB_STREAM_EXIT_TIMEOUT": 5}
    process = training.run("loop.py", 1, 0, "return", **other, **TRAINER)
    assert "not permitted to publish to katib.metrics.default.other%2Etrial." in process.err
    # Who may not deliver it leaves it to others, and delivers what is his own.
    process = training.run("loop.py", 1, 0, "return", **TRAINER)
    assert "stays in the spool: not permitted" in process.err
    assert len(training.left()) == 1
    training.run("loop.py", 1, 0, "return", **ALL)
    assert training.left() == []
    assert len(training.database.values(trial)) == 102
    assert len(training.database.values("other.trial")) == 1


def test_of_several_servers_one_is_dead(training: Training, shared_stream: Stream) -> None:
    dead = f"nats://127.0.0.1:{free_port()}"
    for _ in range(3):  # the order is one of chance
        _reports(training, KATIB_STREAM_SERVERS=f"{dead},{shared_stream.url}")


@pytest.mark.parametrize("server", ["nats://127.0.0.1:{port}", "127.0.0.1:{port}", "localhost:{port}"])
def test_ways_to_write_a_server(training: Training, shared_stream: Stream, server: str) -> None:
    _reports(training, KATIB_STREAM_SERVERS="", NATS_URL=server.format(port=shared_stream.port))


def _narrow(site: MakeSite) -> Site:
    return site("max_payload: 64KB")


def test_batches_are_cut_to_what_the_server_takes(site: MakeSite) -> None:
    training = _narrow(site).training
    _reports(training, WIDE=50)  # 100 events make one message of 230 kB


def test_an_event_that_no_server_takes_is_told_and_set_aside(site: MakeSite) -> None:
    training = _narrow(site).training
    process = training.run("wide.py", KATIB_STREAM_ON_UNDELIVERED="fail", status=74)
    assert "can never be stored: it is too large for the stream" in process.err
    assert f"1 event of trial {training.trial} can never be delivered" in process.err
    rows = training.database.values(training.trial)
    assert set(training.accepted()) - set(rows) == {training.accepted()[50]}
    assert len(rows) == len(set(rows))
    assert [name.endswith(".spool.aside") for name in training.left()] == [True]


def test_nats_is_away_at_the_start(training: Training, shared_stream: Stream) -> None:
    proxy = Proxy(shared_stream.port, open_=False)
    process = training.start("loop.py", 0, 0.01, "return", KATIB_STREAM_SERVERS=proxy.url)
    process.said("delivery is stuck (not connected: ")
    proxy.open()
    process.said("delivery goes again")
    training.stop(process)
    proxy.cut()
    training.check()


def test_the_connection_is_cut_again_and_again(training: Training, proxy: Proxy) -> None:
    process = training.start("loop.py", 0, 0.001, "return", KATIB_STREAM_SERVERS=proxy.url)
    for _ in range(5):
        training.stored(len(training.accepted()) + 50)
        proxy.cut()
        training.reported(len(training.accepted()) + 50)
        proxy.open()
    training.stop(process)
    training.check()


def test_acknowledgements_that_are_lost_double_nothing(training: Training, proxy: Proxy) -> None:
    process = training.start("loop.py", 0, 0.001, "return", KATIB_STREAM_SERVERS=proxy.url)
    for _ in range(3):
        training.stored(len(training.accepted()) + 50)
        proxy.mute()
        training.stored(len(training.database.values(training.trial)) + 100)
        proxy.cut()
        proxy.open()
    training.stop(process)
    training.check()


def test_acknowledgements_that_a_killed_process_did_not_hear_double_nothing(training: Training, proxy: Proxy) -> None:
    process = training.start("loop.py", 0, 0.001, "return", KATIB_STREAM_SERVERS=proxy.url)
    training.stored(50)
    proxy.mute()
    training.stored(len(training.database.values(training.trial)) + 100)
    process.kill()
    training.start_next()
    training.check()


def test_the_connection_hangs_for_a_while(training: Training, proxy: Proxy) -> None:
    process = training.start("loop.py", 0, 0.001, "return", KATIB_STREAM_SERVERS=proxy.url)
    training.stored(50)
    proxy.hang()
    training.reported(len(training.accepted()) + 1000)
    proxy.resume()
    training.stored(len(training.accepted()))
    training.stop(process)
    training.check()


@pytest.mark.parametrize("wide", [0, 1000], ids=["quiet", "full"])
def test_a_connection_that_hangs_for_good_is_given_up(training: Training, proxy: Proxy, wide: int) -> None:
    process = training.start("impatient.py", wide, KATIB_STREAM_SERVERS=proxy.url)
    training.stored(50)
    proxy.hang()
    process.said("delivery is stuck (not connected: ")
    proxy.cut()
    proxy.open()
    process.said("delivery goes again")
    training.stop(process)
    training.check()


def test_the_server_is_stopped_for_a_while(own_training: Training, stream: Stream) -> None:
    training = own_training
    process = training.start("loop.py", 0, 0.001, "return")
    training.stored(50)
    stream.pause()
    training.reported(len(training.accepted()) + 1000)
    stream.resume()
    training.stop(process)
    training.check()
