"""Katib's table, as a reader of a trial sees it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from servers import Stream


def rows(stream: Stream, trial: str) -> list[tuple[str, str]]:
    """Gives name and value of each row of a trial, in Katib's order."""
    query = "SELECT metric_name, value FROM observation_logs WHERE trial_name = ? ORDER BY time, id"
    path = stream.folder / "data" / "katib.db"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        return database.execute(query, [trial]).fetchall()
