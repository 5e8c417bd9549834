"""Several threads that report at once: `threads.py THREADS EVENTS`."""

from __future__ import annotations

import sys
import threading

from noting import report


def main(threads: int, events: int) -> None:
    """Trains."""
    start = threading.Barrier(threads)

    def work() -> None:
        start.wait()
        for _ in range(events):
            report()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
