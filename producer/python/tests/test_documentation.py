"""Holds the guide and the package's README to the code: every example runs, every setting and every saying is real."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from katib_stream import Reporter
from processes import eventually
from rows import rows
from servers import Stream
from training import Training

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "producer" / "python" / "src" / "katib_stream"
GUIDE = ROOT / "docs" / "python.md"
PAGES = [GUIDE, ROOT / "producer" / "python" / "README.md", ROOT / "examples" / "python" / "README.md"]

# What an example takes for granted, by the name in the comment above it. Lightning and the Trainer of Transformers need
# torch, which is not here: in their places stands what calls the callback as they do.
GIVEN = {
    "training": "def train_one_epoch(): return 0.5, 0.9",
    "data": """
import numpy
x = numpy.random.default_rng(1).normal(size=(100, 4)).astype("float32")
y = (x[:, 0] > 0).astype("float32")
x_val, y_val = x[:50], y[:50]
""",
    "model": """
import os
os.environ["KERAS_BACKEND"] = "jax"
import keras
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
""",
    "lightning": """
import sys, types
class Callback: pass
class Trainer:
    is_global_zero, sanity_checking, global_step = True, False, 1
    def __init__(self, max_epochs, callbacks): self.callback, self.callback_metrics = callbacks[0], {}
    def fit(self, module):
        self.callback.setup(self, module, stage="fit")
        self.callback.on_train_epoch_start(self, module)
        self.callback.on_validation_start(self, module)
        self.callback_metrics["val_accuracy"] = 0.5
        self.callback.on_validation_end(self, module)
        self.callback.on_train_epoch_end(self, module)
        self.callback.on_train_end(self, module)
for name in ("lightning", "lightning.pytorch"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].Callback, sys.modules[name].Trainer = Callback, Trainer
module = None
""",
    "trainer": """
from transformers import TrainerControl, TrainerState
from transformers.trainer_callback import CallbackHandler
class Trainer:
    def __init__(self, model, arguments, callbacks): self.handler = CallbackHandler(callbacks, None, None, None, None)
    def train(self):
        to_all = (None, TrainerState(global_step=1), TrainerControl())
        self.handler.on_train_begin(*to_all)
        self.handler.on_log(*to_all, logs={"eval_loss": 0.5})
        self.handler.on_train_end(*to_all)
model = arguments = None
""",
    "jax": "loss, step = 0.5, 1",
}

EXAMPLE = re.compile(r"(?:<!-- given: (?P<given>.*?) -->\n)?```python\n(?P<code>.*?)```", re.DOTALL)
EXAMPLES = {
    f"{page.name}: {match['given'] or 'alone'}, {number}": match
    for page in PAGES
    for number, match in enumerate(EXAMPLE.finditer(page.read_text(encoding="utf-8")), 1)
}


@pytest.mark.parametrize("match", EXAMPLES.values(), ids=EXAMPLES)
def test_an_example_runs_and_what_it_reports_arrives(
    match: re.Match[str], training: Training, shared_stream: Stream, tmp_path: Path
) -> None:
    given = [GIVEN[name] for name in (match["given"] or "").split(", ") if name]
    program = tmp_path / "example.py"
    program.write_text("\n".join([*given, match["code"]]), encoding="utf-8")
    process = training.run(str(program))
    assert "katib_stream:" not in process.err
    if "MemoryTransport" in match["code"]:
        return
    trial = "my-trial" if 'trial="my-trial"' in match["code"] else training.trial
    reported = eventually("its report is persisted", lambda: rows(shared_stream, trial))
    asked = re.search(r'metrics=\["(.*?)"\]', match["code"])
    assert asked is None or {name for name, _ in reported} == {asked[1]}


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 14


def test_the_settings_are_those_of_the_reporter() -> None:
    rows = section("Settings")
    parameters = set(inspect.signature(Reporter).parameters)
    assert names(rows, 0) == parameters
    variables = set(re.findall(r"\b(?:KATIB|NATS)_[A-Z_]+\b", (SOURCE / "_settings.py").read_text(encoding="utf-8")))
    assert names(rows, 1) == variables


def test_what_it_says_is_what_the_code_says() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in SOURCE.glob("*.py"))
    for row in section("When something is wrong")[:-1]:  # in the last one it says nothing
        for saying in re.findall("`(.*?)`", row[0]):
            for part in saying.split("…"):
                assert part.rstrip(" ()") in code or part == "ValueError", f"nothing says {part!r}"


def test_the_manifest_is_one_of_a_trial() -> None:
    yaml: Any = importlib.import_module("yaml")
    (text,) = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    spec = yaml.safe_load(text)["spec"]
    template = spec["trialTemplate"]
    pod = template["trialSpec"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    env = {entry["name"]: entry["value"] for entry in container["env"]}
    assert spec["metricsCollectorSpec"]["collector"]["kind"] == "Push"
    assert container["name"] == template["primaryContainerName"]
    assert {parameter["reference"] for parameter in template["trialParameters"]} == {
        p["name"] for p in spec["parameters"]
    }
    assert set(env) <= names(section("Settings"), 1)
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == [env["KATIB_STREAM_SPOOL"]]
    assert [mount["name"] for mount in container["volumeMounts"]] == [volume["name"] for volume in pod["volumes"]]


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        inside = re.sub("^https://github.com/katib-stream/katib-stream/(?:blob|tree)/main/", f"{ROOT}/", link)
        if "://" not in inside:
            assert (page.parent / inside.partition("#")[0]).exists(), link


def section(title: str) -> list[list[str]]:
    """Gives the cells of the table under a heading of the guide, without its head."""
    _, _, text = GUIDE.read_text(encoding="utf-8").partition(f"\n## {title}\n")
    rows = [line for line in text.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[2:]]


def names(rows: list[list[str]], column: int) -> set[str]:
    """Gives what stands in backticks in a column."""
    return {name for row in rows for name in re.findall("`(.*?)`", row[column])}
