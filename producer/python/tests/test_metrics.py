"""What becomes of the names and values that training code reports."""

from __future__ import annotations

import json
import sys
import threading
from collections import UserDict
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import pytest

from katib_stream import InvalidEvent
from katib_stream import _metrics as module
from katib_stream._contract import Code
from katib_stream._event import encode_event, event_line
from katib_stream._message import decode_events
from katib_stream._metrics import metrics_json


class Tensor:
    """Behaves as a torch tensor does: float() needs one element, and str() says that it is a tensor."""

    def __init__(self, *elements: float) -> None:
        self.elements = elements
        self.dtype = object()  # torch's dtypes have no NumPy type

    def __float__(self) -> float:
        if len(self.elements) != 1:
            raise RuntimeError(f"a Tensor with {len(self.elements)} elements cannot be converted to Scalar")
        return self.elements[0]

    def __repr__(self) -> str:
        return f"tensor({', '.join(f'{x:.4f}' for x in self.elements)})"


class Odd(float):
    """A number whose text is not one."""

    def __str__(self) -> str:
        return "odd"

    __repr__ = __str__


class Broken:
    """A number whose own code raises for its text."""

    def __float__(self) -> float:
        return 0.25

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(0.1, "0.1", id="float"),
        pytest.param(1.0, "1.0", id="whole float"),
        pytest.param(-0.0, "-0.0", id="minus zero"),
        pytest.param(1e16, "1e+16", id="great float"),
        pytest.param(1e-7, "1e-07", id="small float"),
        pytest.param(sys.float_info.max, "1.7976931348623157e+308", id="greatest float"),
        pytest.param(5e-324, "5e-324", id="least float"),
        pytest.param(float("nan"), '"NaN"', id="NaN"),
        pytest.param(float("inf"), '"+Inf"', id="infinity"),
        pytest.param(float("-inf"), '"-Inf"', id="minus infinity"),
        pytest.param(3, "3", id="int"),
        pytest.param(-(2**63) - 1, "-9223372036854775809", id="int beyond 64 bits"),
        pytest.param(10**308, "1" + "0" * 308, id="int as great as floats get"),
        pytest.param(True, "1.0", id="bool"),
        pytest.param("0.9900", "0.9900", id="text"),
        pytest.param("1e400", "1e400", id="text of a number beyond floats"),
        pytest.param(" 0.5\n", "0.5", id="text with space around"),
        pytest.param("1_000", "1000.0", id="text with an underscore"),
        pytest.param(".5", "0.5", id="text that is no JSON number"),
        pytest.param("٣", "3.0", id="text of Arabic digits"),
        pytest.param("nan", '"NaN"', id="text NaN"),
        pytest.param("-Infinity", '"-Inf"', id="text infinity"),
        pytest.param("0." + "1" * 70_000, "0.1111111111111111", id="text that is too long"),
        pytest.param(b"0.5", "0.5", id="bytes"),
        pytest.param(Decimal("0.9900"), "0.9900", id="Decimal"),
        pytest.param(Decimal("1E+400"), "1E+400", id="Decimal beyond floats"),
        pytest.param(Decimal("NaN"), '"NaN"', id="Decimal NaN"),
        pytest.param(Fraction(1, 4), "0.25", id="Fraction"),
        pytest.param(Odd(0.5), "0.5", id="float with another text"),
        pytest.param(Odd("inf"), '"+Inf"', id="infinity with another text"),
        pytest.param(Broken(), "0.25", id="number without a text"),
        pytest.param(Tensor(0.10000000149011612), "0.10000000149011612", id="tensor"),
        pytest.param(Tensor(float("nan")), '"NaN"', id="tensor NaN"),
    ],
)
def test_value(value: object, text: str) -> None:
    line = metrics_json({"loss": value})
    assert line == f'{{"loss":{text}}}'
    (event,) = decode_events(event_line(None, None, line).encode())
    assert encode_event(event) == event_line(None, None, line)


def test_values_of_numpy() -> None:
    np = pytest.importorskip("numpy")
    for value, text in [
        (np.float32(0.1), "0.1"),
        (np.float16(0.1), "0.1"),
        (np.float64(0.1), "0.1"),
        (np.longdouble("0.1"), "0.1"),
        (np.float32(3e38), "3e+38"),
        (np.float32(1e-10), "1e-10"),
        (np.float32("nan"), '"NaN"'),
        (np.float32("-inf"), '"-Inf"'),
        (np.int64(-7), "-7"),
        (np.uint64(2**64 - 1), "18446744073709551615"),
        (np.bool_(True), "1.0"),
        (np.array(0.1, dtype=np.float32), "0.1"),
        (np.array(0.1), "0.1"),
        (np.array(3), "3"),
        (np.str_("0.9900"), "0.9900"),
    ]:
        assert metrics_json({"loss": value}) == f'{{"loss":{text}}}', repr(value)
    with pytest.raises(InvalidEvent):
        metrics_json({"loss": np.array([0.1, 0.2])})


def test_a_text_that_says_less_than_the_value_is_not_used() -> None:
    np = pytest.importorskip("numpy")

    class Rounded:
        """Prints as arrays do where NumPy's print options ask for few digits."""

        dtype = np.dtype(np.float32)

        def __float__(self) -> float:
            return float(np.float32(0.123))

        def __str__(self) -> str:
            return "0.12"

    assert metrics_json({"loss": Rounded()}) == f'{{"loss":{float(np.float32(0.123))!r}}}'


def test_values_of_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    jnp = pytest.importorskip("jax.numpy")
    assert metrics_json({"loss": jnp.float32(0.1)}) == '{"loss":0.1}'
    assert metrics_json({"loss": jnp.asarray(3)}) == '{"loss":3}'
    bfloat16 = jnp.asarray(0.1, dtype=jnp.bfloat16)
    assert jnp.bfloat16(json.loads(metrics_json({"loss": bfloat16}))["loss"]) == bfloat16
    with pytest.raises(InvalidEvent):
        metrics_json({"loss": jnp.ones(2)})


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("n/a", "'n/a' (str)", id="text"),
        pytest.param("", "'' (str)", id="empty text"),
        pytest.param(None, "None (NoneType)", id="None"),
        pytest.param([0.1], "[0.1] (list)", id="list"),
        pytest.param({"a": 1}, "{'a': 1} (dict)", id="dict"),
        pytest.param(1j, "1j (complex)", id="complex"),
        pytest.param(10**400, "(int)", id="int beyond floats"),
        pytest.param(10**5000, "(int)", id="int beyond what Python prints"),
        pytest.param(Tensor(0.1, 0.2), "tensor(0.1000, 0.2000) (Tensor)", id="tensor of several elements"),
        pytest.param("x" * 10_000, "(str)", id="long text"),
    ],
)
def test_refused_value(value: object, shown: str) -> None:
    with pytest.raises(InvalidEvent, match="report a number") as caught:
        metrics_json({"accuracy": 1, "loss": value})
    assert caught.value.code == "metric-value"
    assert f'the value of "loss" is {shown}' in str(caught.value) or shown in str(caught.value)
    assert len(str(caught.value)) < 400
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("metrics", "code"),
    [
        pytest.param({}, "metrics", id="none"),
        pytest.param(UserDict[str, float](), "metrics", id="none in another mapping"),
        pytest.param(None, "metrics", id="no mapping"),
        pytest.param([("loss", 1)], "metrics", id="pairs"),
        pytest.param("loss=1", "metrics", id="text"),
        pytest.param({1: 0.5}, "metric-name", id="name: an int"),
        pytest.param({None: 0.5}, "metric-name", id="name: None"),
        pytest.param({b"loss": 0.5}, "metric-name", id="name: bytes"),
        pytest.param({"": 0.5}, "metric-name", id="name: empty"),
        pytest.param({"a\nb": 0.5}, "metric-name", id="name: a newline"),
        pytest.param({"a\x85": 0.5}, "metric-name", id="name: U+0085"),
        pytest.param({"n" * 256: 0.5}, "metric-name", id="name: 256 characters"),
        pytest.param({"\ud800": 0.5}, "utf8", id="name: half a surrogate pair"),
    ],
)
def test_refused_metrics(metrics: Any, code: Code) -> None:
    for _ in range(2):  # nothing that was refused is remembered as good
        with pytest.raises(InvalidEvent) as caught:
            metrics_json(metrics)
        assert caught.value.code == code
        str(caught.value).encode()  # can be printed


@pytest.mark.parametrize("mapping", [UserDict, MappingProxyType], ids=["UserDict", "MappingProxyType"])
def test_any_mapping(mapping: Any) -> None:
    assert metrics_json(mapping({"loss": 0.5, "acc": 1})) == '{"loss":0.5,"acc":1}'


def test_a_mapping_that_gives_a_name_twice() -> None:
    class Twice(UserDict[str, float]):
        def __iter__(self) -> Iterator[str]:
            yield from ("loss", "loss")

    assert metrics_json(Twice({"loss": 0.5})) == '{"loss":0.5}'


def test_names_are_escaped_as_go_does() -> None:
    assert metrics_json({'a"b\\</é😀\u2028': 1}) == '{"a\\"b\\\\</é😀\u2028":1}'


def test_a_name_of_a_subclass_of_str() -> None:
    class Name(str):
        def __str__(self) -> str:
            return "another"

    assert metrics_json({Name("sub-loss"): 1}) == '{"sub-loss":1}'


def test_remembered_names_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_NAMES", 8)
    monkeypatch.setattr(module, "_keys", {})
    for i in range(100):
        assert metrics_json({f"m{i}": i, "loss": 0.5}) == f'{{"m{i}":{i},"loss":0.5}}'
        assert len(module._keys) <= 8


def test_threads_share_remembered_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_NAMES", 4)  # emptied all the time
    monkeypatch.setattr(module, "_keys", {})
    wrong: list[str] = []

    def report(thread: int) -> None:
        for i in range(2000):
            line = metrics_json({f"t{thread}-{i % 7}": i})
            if line != f'{{"t{thread}-{i % 7}":{i}}}':
                wrong.append(line)

    threads = [threading.Thread(target=report, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
