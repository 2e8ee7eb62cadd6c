#!/usr/bin/env python3
"""Streams one chat answer and prints, as one JSON line, how it went: chunks, seconds, finish_reason, whether [DONE] came.

usage: stream.py BASE_URL MAX_TOKENS [QUESTION]       ignores the end token, so that the answer is as long as asked
"""
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


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    print(json.dumps(stream(sys.argv[1], int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "Tell me about Drover.")))
