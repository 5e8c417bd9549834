"""Parameters, then the environment, then defaults; and what cannot be used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from katib_stream import ConfigError, InvalidEvent
from katib_stream import _settings as settings
from katib_stream._spool import default_folder

TRIAL = {"KATIB_TRIAL_NAME": "my-trial"}


def test_defaults() -> None:
    s = settings.Settings({}, TRIAL)
    assert (s.trial, s.namespace, s.servers) == ("my-trial", "default", ["nats://127.0.0.1:4222"])
    assert (s.spool_bytes, s.ranks, s.on_undelivered, s.exit_timeout) == (256 << 20, "0", "warn", 20.0)


def test_the_pods_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "namespace").write_text("team-a\n")
    monkeypatch.setattr(settings, "NAMESPACE_FILE", str(tmp_path / "namespace"))
    assert settings.Settings({}, TRIAL).namespace == "team-a"
    assert settings.Settings({}, {**TRIAL, "KATIB_STREAM_NAMESPACE": "b"}).namespace == "b"


def test_a_parameter_wins_over_the_environment() -> None:
    environ = {**TRIAL, "KATIB_STREAM_SERVERS": "a:1", "NATS_URL": "b:2", "KATIB_STREAM_EXIT_TIMEOUT": "3"}
    assert settings.Settings({}, environ).servers == ["nats://a:1"]
    assert settings.Settings({"servers": ["tls://c:3", "d"]}, environ).servers == ["tls://c:3", "nats://d"]
    assert settings.Settings({"exit_timeout": 0}, environ).exit_timeout == 0
    assert settings.Settings({}, {**TRIAL, "NATS_URL": "b:2"}).servers == ["nats://b:2"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param({"servers": "http://x"}, "http://x is no NATS URL", id="scheme"),
        pytest.param({"servers": "nats://u:secret@"}, "nats://***@ is no NATS URL", id="no host"),
        pytest.param({"servers": "u:secret@host:port"}, "***@host:port is no", id="port"),
        pytest.param({"servers": " , "}, "no server", id="none"),
        pytest.param({"servers": []}, "no server", id="empty list"),
        pytest.param({"spool_bytes": "lots"}, "spool_bytes is 'lots'", id="bytes"),
        pytest.param({"spool_bytes": 0}, "spool_bytes is '0'", id="no bytes"),
        pytest.param({"ranks": "1"}, "ranks is '1', neither 0 nor all", id="ranks"),
        pytest.param({"on_undelivered": "raise"}, "neither warn nor fail", id="on_undelivered"),
        pytest.param({"exit_timeout": -1}, "exit_timeout is '-1'", id="negative"),
        pytest.param({"exit_timeout": "nan"}, "exit_timeout is 'nan'", id="nan"),
        pytest.param({"token": "a", "token_file": "/dev/null"}, "both given", id="two tokens"),
        pytest.param({"tls_cert": "/dev/null"}, "go together", id="certificate without key"),
        pytest.param({"credentials": "/nowhere/x.creds"}, "credentials /nowhere/x.creds is no file", id="no file"),
    ],
)
def test_what_cannot_be_used(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        settings.Settings(given, TRIAL)
    assert says in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("text", ["268435456", "256MiB", "256mib", "262144KiB"])
def test_bytes(text: str) -> None:
    assert settings.Settings({"spool_bytes": text}, TRIAL).spool_bytes == 256 << 20


def test_what_the_environment_set_is_named_by_its_variable() -> None:
    with pytest.raises(ConfigError, match="KATIB_STREAM_RANKS is 'x', neither 0 nor all"):
        settings.Settings({}, {**TRIAL, "KATIB_STREAM_RANKS": "x"})
    with pytest.raises(ConfigError, match=r"KATIB_STREAM_TLS_CA /none is no file"):
        settings.Settings({}, {**TRIAL, "KATIB_STREAM_TLS_CA": "/none"})
    with pytest.raises(ConfigError, match="KATIB_STREAM_TOKEN and token_file are both given"):
        settings.Settings({"token_file": "/dev/null"}, {**TRIAL, "KATIB_STREAM_TOKEN": "t"})


def test_no_trial_is_a_value_error_as_katib_has_it() -> None:
    with pytest.raises(ValueError, match="KATIB_TRIAL_NAME"):
        settings.Settings({}, {})


def test_names_are_checked() -> None:
    with pytest.raises(InvalidEvent):
        settings.Settings({"trial": "My_Trial"}, {})
    with pytest.raises(InvalidEvent):
        settings.Settings({"namespace": "a/b"}, TRIAL)


def test_the_spools_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    folder = str(tmp_path / f"katib-stream-spool-{os.getuid()}")
    assert settings.Settings({}, TRIAL).spool_folder() == folder
    assert os.stat(folder).st_mode & 0o777 == 0o700
    assert settings.Settings({"spool": "/x"}, TRIAL).spool_folder() == "/x"
    assert settings.Settings({}, {**TRIAL, "KATIB_STREAM_SPOOL": "none"}).spool_folder() is None


@pytest.mark.parametrize("how", ["link", "file", "open to others"])
def test_a_default_folder_that_others_may_write_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    folder = tmp_path / f"katib-stream-spool-{os.getuid()}"
    if how == "link":
        (tmp_path / "elsewhere").mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
    elif how == "file":
        folder.touch()
    else:
        folder.mkdir()
        folder.chmod(0o777)
    with pytest.raises(OSError, match="only this user may write"):
        default_folder()
