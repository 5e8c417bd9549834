"""Measures one SDK: how long a report keeps the training thread, and how long all of it takes until it is in Katib DB.

It prints one line of JSON. KATIB_TRIAL_NAME names the trial; ours finds NATS in KATIB_STREAM_SERVERS.
"""

from __future__ import annotations

import io
import json
import resource
import sys
import time
from typing import Any, Callable


def sdk(name: str, address: str) -> tuple[Callable[..., Any], Callable[[], None]]:
    """Gives how this SDK reports, and how it waits until everything is persisted: Katib's does with each report."""
    if name == "katib":
        from kubeflow.katib import report_metrics
        from kubeflow.katib.utils import utils

        utils.open = lambda *_: io.StringIO("kubeflow")  # a pod has a file with the name of its namespace
        return lambda metrics, step: report_metrics(metrics, db_manager_address=address), lambda: None
    from katib_stream import flush, report_metrics

    return lambda metrics, step: report_metrics(metrics, step=step), lambda: flush(60)


def calls(report: Callable[..., Any], flush: Callable[[], None], count: int) -> dict[str, float]:
    """Times each report, and all of them."""
    report({"loss": 1.0, "accuracy": 0.0}, step=0)
    flush()
    took = []
    began = time.perf_counter()
    for step in range(1, count + 1):
        before = time.perf_counter_ns()
        report({"loss": 1.0 / step, "accuracy": 1.0 - 1.0 / step}, step=step)
        took.append(time.perf_counter_ns() - before)
    flush()
    total = time.perf_counter() - began
    took.sort()
    return {
        "median_us": took[count // 2] / 1e3,
        "p99_us": took[int(count * 0.99)] / 1e3,
        "p999_us": took[min(count - 1, int(count * 0.999))] / 1e3,
        "total_s": total,
    }


def sustained(report: Callable[..., Any], flush: Callable[[], None], seconds: int) -> dict[str, float]:
    """Reports as fast as it goes for a while, and waits for the last one."""
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for _ in range(100):
            report({"loss": 1.0 / (count + 1), "accuracy": 0.5}, step=count)
            count += 1
    flush()
    return {"events_per_s": count / (time.perf_counter() - began)}


def share(report: Callable[..., Any], flush: Callable[[], None], seconds: int) -> dict[str, float]:
    """Reports 1,000 times a second, and compares the processor's time with that of the same loop without reports."""
    report({"loss": 1.0}, step=0)
    flush()

    def loop(do: Callable[..., Any]) -> float:
        before, began = time.process_time(), time.perf_counter()
        for n in range(seconds * 1000):
            do({"loss": 1.0 / (n + 1), "accuracy": 0.5}, step=n)
            time.sleep(max(0.0, began + (n + 1) / 1000 - time.perf_counter()))
        return time.process_time() - before

    idle = loop(lambda metrics, step: None)
    busy = loop(report)
    flush()
    return {"core_percent": (busy - idle) / seconds * 100}


def resident() -> float:
    """Gives this process's resident memory, in MiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / (1 << 20)


def main() -> None:
    """Runs what the command line says: the SDK, the address of the db-manager, what to measure, and how much of it."""
    name, address, what, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    before = resident()
    report, flush = sdk(name, address)
    measure = {"calls": calls, "sustained": sustained, "share": share}[what]
    figures = measure(report, flush, count)
    print(json.dumps({**figures, "memory_MiB": resident() - before}))


main()
