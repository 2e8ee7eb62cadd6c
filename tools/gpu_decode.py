#!/usr/bin/env python3
"""Measures decoding on a device with `drover-worker-cuda bench`: whole models of a shape with random weights, batch by batch, as one JSON.

usage: tools/gpu_decode.py WORKER [--device cuda:0] [--seconds 100] [--batches 1,16,64,256] MODEL...
A run that fails, or that no time is left for, is a row that says so; the exit status is then 1.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import time

# Column, name in the worker's JSON, factor.
COLUMNS = [("prefill tokens/s", "prefill_tokens_per_second", 1), ("decode tokens/s", "decode_tokens_per_second", 1),
           ("share of the memory floor", "read_bandwidth_share", 1), ("host gap, us", "host_gap_seconds", 1e6),
           ("GB a step", "bytes_per_decode_step", 1e-9)]


def measure(worker, device, model, batch, limit_s):
    """One row."""
    row = {"model": pathlib.Path(model).name, "batch": batch}
    if limit_s < 1:
        return {**row, "error": "no time was left"}
    command = [worker, "bench", "--model", model, "--device", device, "--compute", "bf16", "--kv", "bf16", "--batch", batch,
               "--prefill", 128, "--step-tokens", 2048, "--decode", 32, "--json"]
    try:
        result = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=limit_s)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {**row, "error": "cut off" if isinstance(error, subprocess.TimeoutExpired) else str(error)}
    if result.returncode != 0:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        return {**row, "error": f"status {result.returncode}: {last[:160]}"}
    try:
        report = json.loads(result.stdout)
        return {**row, **{column: round(report[name] * factor, 4) for column, name, factor in COLUMNS}}
    except (ValueError, KeyError, TypeError) as error:
        return {**row, "error": f"the worker's report: {error!r}"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worker", type=pathlib.Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--seconds", type=float, default=100, help="for all runs together")
    parser.add_argument("--batches", default="1,16,64,256")
    arguments = parser.parse_args()
    ends, rows = time.monotonic() + arguments.seconds, []
    for model in arguments.models:
        for batch in arguments.batches.split(","):
            rows.append(measure(arguments.worker, arguments.device, model, int(batch), ends - time.monotonic()))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(json.dumps({"results": rows}, indent=1))
    return 1 if any("error" in row for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
