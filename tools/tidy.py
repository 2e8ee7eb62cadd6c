#!/usr/bin/env python3
"""Checks the shape of the tree: what fails the run is a row of LIMITS or a check_* function; other figures are only printed.

usage: tools/tidy.py [ROOT]
"""
import ast
import pathlib
import re
import statistics
import sys

LIMITS = {  # lines, hard
    "function": 60, ".cu function": 80, ".h": 200, ".cuh": 200, ".cc": 400, ".cu": 400, ".rs": 400, ".py": 400, "test": 500,
}
SKIPPED_FOLDERS = {"build", ".git", ".cache", "__pycache__", "testdata", "golden", "target", "node_modules"}
MAY_INCLUDE = {  # folder: what of ours its files may include besides themselves
    "common": set(), "models": {"common"}, "kernels": {"common"}, "text": {"common"}, "proto": {"common"},
    "coordinator": {"models", "text", "proto", "common"},
    "worker": {"kernels", "models", "text", "proto", "common"},
    "cli": {"coordinator", "models", "text", "proto", "common"},
}
OURS = set(MAY_INCLUDE) | {"tests", "bench"}
# Decisions inside worker/: they know no device, network or protobuf.
PURE = re.compile(r"worker/(scheduler|sampler|logit_edits|step_plan|sequence|engine|grammar|guides|philox|logprobs|kv/block_pool)\.(h|cc)$")
IMPURE = re.compile(r"^(kernels/|worker/comm/|worker/model/|drover/v1/|grpc)")
# The factories: the only files that may ask the preprocessor what was compiled in.
FACTORIES = {"kernels/make_ops.cc", "kernels/cpu_features.cc", "worker/comm/make_communicator.cc", "worker/devices_cuda.cc"}
CASTS_ALLOWED = ("kernels/", "worker/weights/", "worker/comm/", "tests/", "bench/")
# A model's family is data (models/): what computes and loads knows axes, not names.
FAMILY_NAMES = re.compile(r"(?<![/\w])(llama|mistral|mixtral|qwen|gemma|falcon|bloom|mpt|granite|olmo|pythia|starcoder|deepseek|kimi|glm"
                          r"|gpt[-_ ]?(j|neox|oss|2)|phi[-_ ]?[1234])(?!\.cpp)", re.I)
MACHINE_PATHS = re.compile("|".join([r"/wor" + r"k/(main|shared)\b", r"/roo" + r"t/[.\w]", r"/hom" + r"e/[a-z]\w*/"]))
COMMENT_START = {".h": "//", ".cuh": "//", ".cc": "//", ".cu": "//", ".rs": "//", ".proto": "//", ".cmake": "#", ".sh": "#", ".py": ('"""', "#")}


def tree(root):
    """Every file that belongs to the project, by its name relative to the root."""
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.is_file() and not SKIPPED_FOLDERS & set(relative.parts[:-1]):
            yield relative.as_posix(), path


def blank(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def code_only(text, rust=False):
    """The text with comments and literals blanked out, line by line as before."""
    literals = r'r?b?"(?:\\.|[^"\\])*"' + (r"|b?'(?:\\.[^']*|[^\\'])'" if rust else r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'")
    raw = r'r#".*?"#' if rust else r'R"(?P<d>[^(\s]*)\(.*?\)(?P=d)"'
    return re.sub(raw + "|" + r"//[^\n]*|/\*.*?\*/|" + literals, blank, text, flags=re.S)


FUNCTION_END = re.compile(r"(\)|\bconst|\bnoexcept|\boverride|\bfinal|\bmutable|[&}]|->\s*[\w:<>,\s*&]+)\s*$")
TYPE_HEAD = re.compile(r"^\s*(template\s*<.*>\s*)?(inline\s+)?(enum|class|struct|union|namespace|extern|impl|mod|trait)\b", re.S)


def brace_kind(head, rust):
    """What a brace after `head` opens at namespace or class level."""
    if rust:
        return "function" if re.search(r"\bfn\s+\w+", head) else "scope"
    if TYPE_HEAD.match(head) and not head.rstrip().endswith(")"):
        return "scope"
    if "(" not in head or re.search(r"=\s*$", head) or re.match(r"\s*#", head):
        return "other"
    if re.search(r"\)\s*(noexcept\s*)?:\s", head) and re.search(r"[\w>]\s*$", head):
        return "other"  # a member's initialiser
    return "function" if FUNCTION_END.search(head) else "other"


def functions(text, rust=False):
    """(first line, last line, head) of each function of a C++ or Rust file."""
    code = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, code_only(text, rust), flags=re.M)
    stack, start = [], 0
    for match in re.finditer(r"[{};]", code):
        at, inside = match.start(), any(kind == "function" for kind, _, _ in stack)
        if match.group() == "{":
            head = code[start:at]
            kind = "block" if inside else brace_kind(head, rust)
            stack.append((kind, start + len(head) - len(head.lstrip()), head))
            if kind in ("scope", "function"):
                start = at + 1
        elif match.group() == "}" and stack:
            kind, head_start, head = stack.pop()
            if kind == "function":
                yield code.count("\n", 0, head_start) + 1, code.count("\n", 0, at) + 1, head
            if kind in ("scope", "function"):
                start = at + 1
        elif match.group() == ";" and not inside and (not stack or stack[-1][0] == "scope"):
            start = at + 1


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.end_lineno, node.name


def functions_of(name, text):
    suffix = pathlib.PurePath(name).suffix
    return list(python_functions(text) if suffix == ".py" else functions(text, rust=suffix == ".rs"))


def check_lengths(name, text, figures):
    suffix = pathlib.PurePath(name).suffix
    lines = text.count("\n")
    limit = LIMITS["test"] if name.startswith("tests/") else LIMITS[suffix]
    figures["file"].append(lines)
    if lines > limit:
        yield f"{name}: {lines} lines, at most {limit}"
    for first, last, head in functions_of(name, text):
        length = last - first + 1
        figures["function"].append(length)
        figures["parameters"].append(parameters(head))
        if length > (LIMITS[".cu function"] if suffix == ".cu" else LIMITS["function"]):
            yield f"{name}:{first}: a function of {length} lines, at most {LIMITS['function']}"


def parameters(head):
    inner = re.search(r"\((.*)\)", head, re.S)
    if not inner or not inner.group(1).strip():
        return 0
    flat = inner.group(1)
    while (shorter := re.sub(r"[(<\[{][^()<>\[\]{}]*[)>\]}]", "", flat)) != flat:
        flat = shorter
    return flat.count(",") + 1


def check_layers(name, text, _):
    folder = name.split("/")[0]
    for number, line in enumerate(text.splitlines(), 1):
        include = re.match(r'\s*#\s*include\s+["<]([^">]+)[">]', line)
        if include is None or folder not in MAY_INCLUDE:
            continue
        target = include.group(1)
        to = "proto" if target.startswith("drover/v1/") else target.split("/")[0]
        if to in OURS and to != folder and to not in MAY_INCLUDE[folder]:
            yield f"{name}:{number}: {folder}/ may not include {target}"
        if PURE.match(name) and IMPURE.match(target):
            yield f"{name}:{number}: a decision of worker/ may not include {target}"


def check_preprocessor(name, text, _):
    if name in FACTORIES:
        return
    for number, line in enumerate(code_only(text).splitlines(), 1):
        if re.match(r"\s*#\s*(if|ifdef|ifndef|elif)\b", line):
            yield f"{name}:{number}: {line.strip()} outside the factories"


def check_no_family(name, text, _):
    if not name.startswith(("worker/", "kernels/")):
        return
    for number, line in enumerate(text.splitlines(), 1):
        if found := FAMILY_NAMES.search(line):
            yield f"{name}:{number}: names the family {found.group(0)}; a family is a spec of models/"


def check_own_header_first(name, text, _):
    """A header that its source includes first compiles alone; headers without a source are compiled by the target `headers`."""
    header = name[:-3] + ".h"
    first = re.search(r'^#include\s+["<]([^">]+)[">]', text, re.M)
    if pathlib.Path(ROOT, header).exists() and (first is None or first.group(1) != header):
        yield f"{name}: its first include must be {header}"


def check_purpose(name, text):
    body = re.sub(r"\A#!.*\n", "", text).lstrip()
    start = COMMENT_START["." + "py" if text.startswith("#!/usr/bin/env python") else pathlib.PurePath(name).suffix or ".sh"]
    if body and not body.startswith(start):
        yield f"{name}: must start with a comment that says what it is for"


def check_docs(root, names):
    text = "".join((root / doc).read_text() for doc in ("README.md", "docs/ARCHITECTURE.md") if (root / doc).exists())
    for folder in sorted({name.split("/")[0] for name in names if "/" in name and not name.startswith(".")}):
        if not re.search(rf"(^|[\s`(,]){re.escape(folder)}/", text, re.M):
            yield f"docs/ARCHITECTURE.md: does not mention {folder}/"


def print_figures(figures, texts):
    lengths, files = figures["function"] or [0], figures["file"] or [0]
    cpp = {name: text for name, text in texts.items() if name.endswith((".h", ".cc"))}
    lines = sum(text.count("\n") for text in cpp.values())
    comments = sum(len(re.findall(r"^\s*//", text, re.M)) for text in cpp.values())
    tests = " ".join(name for name in texts if name.startswith("tests/"))
    untested = [name for name in cpp if name.endswith(".cc") and not name.startswith("tests/")
                and not name.endswith("main.cc") and f"/{pathlib.PurePath(name).stem}_test.cc" not in tests]
    code = {name: code_only(text) for name, text in cpp.items()}
    def count(pattern, allowed=()):
        return sum(len(re.findall(pattern, text)) for name, text in code.items() if not name.startswith(tuple(allowed) or "\0"))
    print(f"  files: {len(files)}, median {statistics.median(files):.0f} lines (aim: at most 120), longest {max(files)}")
    print(f"  functions: {len(lengths)}, longest {max(lengths)}, over 40 lines {100 * sum(n > 40 for n in lengths) / len(lengths):.1f} % (aim: at most 3)")
    print(f"  functions of more than 6 parameters: {sum(n > 6 for n in figures['parameters'])} (aim: 0)")
    print(f"  comment lines of C++: {100 * comments / max(lines, 1):.0f} % (aim: 8 to 15)")
    print(f"  goto {count(r'goto')}, throw {count(r'throw')}, get_instance {count(r'get_instance')} (aim: 0),"
          f" reinterpret_cast outside {', '.join(CASTS_ALLOWED[:3])}: {count(r'reinterpret_cast', CASTS_ALLOWED)}")
    print(f"  sources without a test file of the same name: {len(untested)}")


def main():
    figures = {"file": [], "function": [], "parameters": []}
    texts, errors, names = {}, [], []
    for name, path in tree(ROOT):
        names.append(name)
        suffix = path.suffix or (".sh" if name.startswith("scripts/") else "")
        if suffix not in {".h", ".cuh", ".cc", ".cu", ".rs", ".py", ".proto", ".cmake", ".sh", ".txt", ".md", ".json", ".yaml", ".toml"}:
            continue
        text = path.read_text(errors="replace")
        errors += [f"{name}: names a place of one machine: {found.group(0)}" for found in [MACHINE_PATHS.search(text)] if found]
        if suffix in COMMENT_START:
            errors += check_purpose(name, text)
        if suffix in LIMITS:
            texts[name] = text
            errors += check_lengths(name, text, figures)
        if suffix in {".h", ".cuh", ".cc", ".cu"}:
            for check in (check_layers, check_preprocessor, check_no_family):
                errors += check(name, text, figures)
        if suffix == ".cc":
            errors += check_own_header_first(name, text, figures)
    errors += check_docs(ROOT, names)
    print_figures(figures, texts)
    for error in errors:
        print(f"tidy: {error}")
    print(f"tidy: {len(errors)} to mend" if errors else "tidy: clean")
    return 1 if errors else 0


ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent)
if __name__ == "__main__":
    sys.exit(main())
