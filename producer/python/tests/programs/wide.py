"""Training that once reports an event that is larger than others."""

from __future__ import annotations

from noting import report

if __name__ == "__main__":
    for done in range(100):
        report(2000 if done == 50 else 0)
