"""A search without Kubernetes: random hyperparameters, each in a trial of its own, and the best read from Katib DB.

With `katib-stream up` running in this folder:

    python search.py --trials 8

Katib does the same with Experiments and Trials: it chooses, starts, and reads what was reported from the same table.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

TRAINER = Path(__file__).with_name("digits_sklearn.py")

RESULT = """
SELECT max(CAST(value AS REAL)), count(*) FROM observation_logs
WHERE trial_name = ? AND metric_name = 'accuracy' AND value <> 'NaN'
"""


class Trial(NamedTuple):
    """A name, which nobody has used before, and the hyperparameters."""

    name: str
    rate: float
    hidden: int
    batch: int


def sample(name: str, chance: random.Random) -> Trial:
    """Chooses hyperparameters; the rate evenly on a logarithmic scale."""
    rate = round(math.exp(chance.uniform(math.log(0.002), math.log(0.5))), 4)
    return Trial(name, rate, chance.choice([8, 16, 32, 64]), chance.choice([16, 32, 64]))


def run(trial: Trial, epochs: int) -> None:
    """Trains in a process of its own, which learns the trial's name as in a Katib Trial. Raises when it fails."""
    hyperparameters = ["--rate", trial.rate, "--hidden", trial.hidden, "--batch", trial.batch, "--epochs", epochs]
    subprocess.run(
        [sys.executable, str(TRAINER), *map(str, hyperparameters)],
        env={**os.environ, "KATIB_TRIAL_NAME": trial.name},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    print(f"{trial.name} has ended", file=sys.stderr)


def best(trial: Trial, database: Path) -> tuple[float, int]:
    """Reads the best accuracy of a trial from Katib DB, and how many there are."""
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        accuracy, epochs = connection.execute(RESULT, [trial.name]).fetchone()
    return (accuracy or 0.0, epochs)


def parse() -> argparse.Namespace:
    """Reads what to search, and where."""
    parser = argparse.ArgumentParser(description="search the hyperparameters of digits_sklearn.py")
    parser.add_argument("--trials", type=int, default=8, help="how many to try")
    parser.add_argument("--parallel", type=int, default=2, help="how many at the same time")
    parser.add_argument("--epochs", type=int, default=20, help="passes over all images in each")
    parser.add_argument("--seed", type=int, default=1, help="seed of the choice of hyperparameters")
    parser.add_argument("--name", default=time.strftime("search-%Y%m%d-%H%M%S"), help="what trials' names begin with")
    parser.add_argument("--db", type=Path, default=Path("katib-stream-data/katib.db"), help="the SQLite file of `up`")
    options = parser.parse_args()
    if min(options.trials, options.parallel, options.epochs) < 1:
        parser.error("--trials, --parallel and --epochs are 1 at least")
    if not options.db.exists():
        parser.error(f"there is no database {options.db}; start `katib-stream up` here, or name its file with --db")
    return options


def main() -> None:
    """Searches, and prints what came of each trial."""
    options = parse()
    chance = random.Random(options.seed)
    trials = [sample(f"{options.name}-{number:02d}", chance) for number in range(1, options.trials + 1)]
    try:
        with ThreadPoolExecutor(options.parallel) as pool:
            list(pool.map(lambda trial: run(trial, options.epochs), trials))
    except subprocess.CalledProcessError as error:
        sys.exit(f"search.py: a trial failed, see above: {error}")
    results = sorted(((*best(trial, options.db), trial) for trial in trials), reverse=True)
    print(f"{'TRIAL':28}{'RATE':>8}{'HIDDEN':>8}{'BATCH':>8}{'EPOCHS':>8}{'ACCURACY':>10}")
    for accuracy, epochs, trial in results:
        print(f"{trial.name:28}{trial.rate:8}{trial.hidden:8}{trial.batch:8}{epochs:8}{accuracy:10.3f}")


if __name__ == "__main__":
    main()
