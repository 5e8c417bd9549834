"""Reports as a user's training code does: with Katib's own SDK, unmodified.

Usage: report.py ADDRESS STEPS; KATIB_TRIAL_NAME names the trial.
"""

import io
import sys

from kubeflow.katib import report_metrics
from kubeflow.katib.utils import utils

# A pod has a file with the name of its namespace.
utils.open = lambda *_: io.StringIO("kubeflow")

address, steps = sys.argv[1], int(sys.argv[2])
for step in range(steps):
    report_metrics({"loss": 1 / (step + 1), "accuracy": step / steps}, db_manager_address=address)
