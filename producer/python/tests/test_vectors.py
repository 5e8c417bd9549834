"""What holds for all test vectors: each file is run, and the rules have the same names in both languages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from katib_stream._contract import Code
from vectors import FOLDER, SCHEMA


def test_every_file_of_vectors_is_run() -> None:
    sources = (path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    loaded = {file for source in sources for file in re.findall(r'\bload\(\s*"([^"]+)"', source)}
    assert loaded == {path.name for path in FOLDER.iterdir()}


def test_rules_have_the_same_names_in_go() -> None:
    source = (SCHEMA / "errors.go").read_text(encoding="utf-8")
    assert list(get_args(Code)) == re.findall(r'Code = "([^"]+)"', source)
