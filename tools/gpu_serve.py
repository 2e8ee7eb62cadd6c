#!/usr/bin/env python3
"""Serves one model on several devices in turn, asks each the same, and compares: `drover serve` from the client's side.

usage: tools/gpu_serve.py BIN MODEL [--expect TEXT] [--same] DEVICE:RANKS...   e.g. cpu:1 cuda:0:1 cuda:0:2
Each answers a question greedily, with TEXT in it, and with --same the sampled tokens of a fixed seed must be those of the first.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

QUESTION = "What is the capital of France?"
READY_WITHIN_S = 40


class Served:
    """with Served(bin, model, "cuda", 2) as server: server.ask(temperature=0)"""

    def __init__(self, programs, model, device, ranks):
        self.folder = tempfile.TemporaryDirectory(prefix="drover-serve.")
        self.ready = pathlib.Path(self.folder.name) / "ready"
        self.words = [programs / "drover", "serve", model, "--ranks", ranks, "--device", device, "--http", "127.0.0.1:0",
                      "--grpc", "127.0.0.1:0", "--cluster", "127.0.0.1:0", "--ready-file", self.ready]

    def __enter__(self):
        self.process = subprocess.Popen([str(word) for word in self.words], stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + READY_WITHIN_S
        while not (self.ready.exists() and self.ready.read_text().strip()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(f"not ready within {READY_WITHIN_S} s" if self.process.returncode in (None, -15, 0) else
                                   f"drover serve ended with status {self.process.returncode}")
            time.sleep(0.05)
        self.url = "http://" + json.loads(self.ready.read_text())["http"]
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()

    def ask(self, **sampling):
        """(text, tokens per second)"""
        body = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 48, **sampling}
        request = urllib.request.Request(self.url + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
        started = time.monotonic()
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        return answer["choices"][0]["message"]["content"], answer["usage"]["completion_tokens"] / (time.monotonic() - started)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", type=pathlib.Path)
    parser.add_argument("model")
    parser.add_argument("--expect", default="", help="what the greedy answer holds")
    parser.add_argument("--same", action="store_true", help="sampled tokens must be those of the first device")
    parser.add_argument("places", nargs="+", metavar="DEVICE:RANKS")
    arguments = parser.parse_args()
    first, wrong = None, []
    for place in arguments.places:
        device, _, ranks = place.rpartition(":")
        try:
            with Served(arguments.programs, arguments.model, device, ranks) as server:
                greedy, rate = server.ask(temperature=0)
                sampled, _ = server.ask(temperature=1, seed=7)
        except (RuntimeError, OSError, ValueError, KeyError, urllib.error.URLError) as error:
            print(f"{place}: {error}")
            wrong.append(f"{place} did not answer: {error}")
            continue
        print(f"{place}: {greedy!r}, {rate:.0f} tokens/s; seed 7: {sampled!r}", flush=True)
        if arguments.expect not in greedy:
            wrong.append(f"{place} does not say {arguments.expect}")
        first = first or (place, greedy, sampled)
        if arguments.same and (greedy, sampled) != first[1:]:
            wrong.append(f"{place} says other tokens than {first[0]}")
    print("; ".join(wrong) or f"{', '.join(arguments.places)}: {'the same tokens' if arguments.same else 'answered'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
