"""`python sweep_client.py EXECUTOR OUT COUNT CHUNK DELAY_S`: a sweep of its own process, to be killed."""

from __future__ import annotations

import sys
from pathlib import Path

import sweep_fakes

from attnsim.explore.execute.executors import run_plan

if __name__ == "__main__":
    executor, output, count, chunk, delay_s = sys.argv[1:]
    plan = sweep_fakes.FakePlan(int(count), delay_s=float(delay_s))
    run_plan(plan, executor, Path(output), chunk=int(chunk), evaluate=sweep_fakes.evaluate)
