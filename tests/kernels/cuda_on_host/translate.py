#!/usr/bin/env python3
"""Turns a file of CUDA into C++ for the stand-in runtime: launches become calls, dynamic shared memory a pointer; its language
comes with a header.

usage: translate.py IN OUT
"""
import pathlib
import re
import sys


def launches(text):
    """KERNEL<<<GRID, THREADS, SHARED, STREAM>>>(ARGUMENTS); -> Launch(GRID, THREADS, SHARED, STREAM, KERNEL, ARGUMENTS);
    KERNEL says all its template's arguments."""
    pattern = re.compile(r"([\w:]+(?:<[\w, ]+>)?)<<<(.*?)>>>\s*(\(.*?\));", re.S)

    def call(match):
        kernel, shape, arguments = match.groups()
        grid, threads, shared, stream = arguments_of(shape)
        return (f"::cuda_on_host::Launch(::cuda_on_host::Dim({grid}), ::cuda_on_host::Dim({threads}), {shared}, {stream},"
                f" {kernel}, {arguments[1:-1]});")

    return pattern.sub(call, text)


def arguments_of(text):
    """Splits at the commas that stand outside of all brackets."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "(<{[") - (letter in ")>}]")
        if letter == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    return parts + [text[start:].strip()]


def translate(text):
    text = '#include "tests/kernels/cuda_on_host/kernel_language.h"\n' + text
    text = re.sub(r"extern __shared__ (\w+) (\w+)\[\];", r"auto* \2 = reinterpret_cast<\1*>(::cuda_on_host::DynamicShared());", text)
    return re.sub(r"#pragma unroll.*", "", launches(text))


if __name__ == "__main__":
    source, target = map(pathlib.Path, sys.argv[1:])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(translate(source.read_text()))
