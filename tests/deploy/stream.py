#!/usr/bin/env python3
"""Streams several chat answers at once and prints, as one JSON line, how they went: seconds of the shortest and the longest,
those that ended as asked (finish_reason length, then [DONE]) and those that did not.

usage: stream.py BASE_URL MAX_TOKENS STREAMS       ignores the end token, so that every answer is as long as asked
"""
import concurrent.futures
import json
import sys
import time
import urllib.request


def stream(base, max_tokens, question):
    body = {"messages": [{"role": "user", "content": question}], "stream": True, "max_tokens": max_tokens, "temperature": 0,
            "ignore_eos": True}
    request = urllib.request.Request(f"{base}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    start, result = time.monotonic(), {"chunks": 0, "finish": None, "done": False, "error": None}
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            for line in answer:
                data = line.decode().strip().removeprefix("data: ")
                if data == "[DONE]":
                    result["done"] = True
                elif data:
                    event = json.loads(data)
                    if "error" in event:
                        result["error"] = event["error"]
                    for choice in event.get("choices", []):
                        result["chunks"] += bool(choice["delta"].get("content"))
                        result["finish"] = choice.get("finish_reason") or result["finish"]
    except (OSError, ValueError) as error:
        result["error"] = str(error)
    result["seconds"] = round(time.monotonic() - start, 2)
    return result


def main():
    base, max_tokens, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        results = list(pool.map(lambda i: stream(base, max_tokens, f"What is {i} + {i}?"), range(count)))
    bad = [r for r in results if not (r["done"] and r["finish"] == "length" and not r["error"])]
    seconds = [r["seconds"] for r in results]
    print(json.dumps({"good": count - len(bad), "bad": bad, "shortest": min(seconds), "longest": max(seconds)}))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main()
