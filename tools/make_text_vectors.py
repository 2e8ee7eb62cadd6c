#!/usr/bin/env python3
"""Writes the text vectors that are our own: template snippets and model directories as transformers 5 understands them.

usage: make_text_vectors.py   (needs transformers, tokenizers and jinja2; the project itself needs none of them)

tests/testdata/text/snippets.jsonl     a line with the context of all, then {"template", "expected" or "error": {"kind", "message"}}
tests/testdata/text/directories.jsonl  {"name", "files", and what the reference makes of them}
"""
import copy
import datetime
import json
import pathlib
import shutil
import tempfile

import jinja2
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

import text_snippets

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests/testdata/text"
NOW = datetime.datetime(2025, 3, 9, 14, 5, 6)


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def kind_of(error):
    """The kind of an error, and its words where they are the template's own."""
    message = str(error)
    for kind, classes in (("security", jinja2.exceptions.SecurityError), ("undefined", jinja2.exceptions.UndefinedError),
                          ("syntax", jinja2.exceptions.TemplateSyntaxError), ("runtime", jinja2.exceptions.TemplateRuntimeError)):
        if isinstance(error, classes):
            return {"kind": kind, "message": message}
    return {"kind": "raised" if type(error) is jinja2.exceptions.TemplateError else f"python:{type(error).__name__}", "message": message}


def snippet(template, context):
    row = {"template": template}
    try:
        row["expected"] = chat_template_utils._compile_jinja_template(template).render(**copy.deepcopy(context))
    except Exception as error:  # pylint: disable=broad-except  # whatever the reference raises is the answer
        row["error"] = kind_of(error)
    return row


TEXTS = ["Hello world", "a<|end|>b", "x <|im_start|> y", " <mark>\n z", "<pad>é</s>", "don't <extra>!"]
BASE = "features/bytelevel_gpt2/tokenizer.json"


def token(content, **flags):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True, **flags}


DECODER = {"0": token("<|end|>"), "1": token("<|begin|>"), "470": token("<|im_start|>"), "471": token("<mark>", special=False, lstrip=True)}
DIRECTORIES = [  # name, files beside the tokenizer
    ("nothing_beside", {}),
    ("names_in_the_config", {"tokenizer_config.json": {"bos_token": "<|begin|>", "eos_token": "<|end|>", "pad_token": None}}),
    ("a_name_outside_the_vocabulary", {"tokenizer_config.json": {"eos_token": "<|end|>", "pad_token": "<pad>"}}),
    ("a_name_of_an_ordinary_token", {"tokenizer_config.json": {"eos_token": "()", "unk_token": "id"}}),
    ("the_map_stands_over_the_config", {
        "tokenizer_config.json": {"bos_token": "<|begin|>", "eos_token": "<|begin|>"},
        "special_tokens_map.json": {"eos_token": {"content": "<|end|>", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False},
                                    "pad_token": "<pad>", "additional_special_tokens": ["<extra>"]}}),
    ("a_decoder_silences_the_map", {
        "tokenizer_config.json": {"added_tokens_decoder": DECODER, "eos_token": "<|end|>"},
        "special_tokens_map.json": {"eos_token": "<|begin|>", "pad_token": "<pad>"}}),
    ("a_decoder_adds_tokens", {"tokenizer_config.json": {"added_tokens_decoder": DECODER, "bos_token": "<|begin|>", "eos_token": "<|im_start|>"}}),
    ("a_decoder_changes_flags", {
        "tokenizer_config.json": {"added_tokens_decoder": {"0": token("<|end|>", lstrip=True, rstrip=True), "1": token("<|begin|>")}}}),
    ("a_named_token_becomes_special", {
        "tokenizer_config.json": {"added_tokens_decoder": {"470": token("<mark>", special=False, normalized=True)}, "sep_token": "<mark>"}}),
    ("extra_tokens", {"tokenizer_config.json": {"extra_special_tokens": ["<extra>", "<mark>"], "image_token": "<|im_start|>"}}),
    ("additional_tokens", {"tokenizer_config.json": {"additional_special_tokens": ["<extra>", "<|im_start|>"]}}),
    ("extra_tokens_by_name", {"tokenizer_config.json": {"extra_special_tokens": {"boi_token": "<mark>"}, "eoi_token": "<extra>"}}),
    ("bos_is_the_files_matter", {
        "tokenizer_config.json": {"bos_token": "<|begin|>", "eos_token": "<|end|>", "add_bos_token": True, "add_eos_token": True}}),
    ("template_in_the_config", {"tokenizer_config.json": {"bos_token": "<|begin|>", "chat_template": "C{{ bos_token }}"}}),
    ("templates_in_a_list", {"tokenizer_config.json": {"chat_template": [
        {"name": "default", "template": "D"}, {"name": "tool_use", "template": "T{{ tools | length }}"}, {"name": "rag", "template": "R"}]}}),
    ("a_list_without_tool_use", {"tokenizer_config.json": {"chat_template": [
        {"name": "default", "template": "D"}, {"name": "rag", "template": "R"}]}}),
    ("a_list_without_default", {"tokenizer_config.json": {"chat_template": [{"name": "tool_use", "template": "T"}]}}),
    ("a_file_stands_over_the_config", {"tokenizer_config.json": {"chat_template": "C"}, "chat_template.jinja": "F"}),
    ("a_file_stands_over_a_list", {
        "tokenizer_config.json": {"chat_template": [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}]},
        "chat_template.jinja": "F"}),
    ("more_files", {"chat_template.jinja": "F", "additional_chat_templates/tool_use.jinja": "FT", "additional_chat_templates/rag.jinja": "FR"}),
    ("more_files_without_default", {
        "tokenizer_config.json": {"chat_template": "C"}, "additional_chat_templates/tool_use.jinja": "FT"}),
]


def prompt(tokenizer, tools):
    try:
        return tokenizer.apply_chat_template([{"role": "user", "content": "x"}], tools=tools, tokenize=False)
    except (ValueError, KeyError):  # no template for this
        return None


def directory(name, files):
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(DATA / BASE, folder)
        for path, content in files.items():
            target = pathlib.Path(folder, path)
            target.parent.mkdir(exist_ok=True)
            target.write_text(content if isinstance(content, str) else json.dumps(content))
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        row = {"name": name, "files": files, "special_tokens": tokenizer.special_tokens_map,
               "added": [[i, t.content, t.special, t.lstrip, t.rstrip] for i, t in sorted(tokenizer.added_tokens_decoder.items())]}
        row["texts"] = [{"text": text, "ids": tokenizer(text)["input_ids"]} for text in TEXTS]
        for entry in row["texts"]:
            entry["decoded_skip"] = tokenizer.decode(entry["ids"], skip_special_tokens=True)
        tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}}
        row["prompt"], row["prompt_with_tools"] = prompt(tokenizer, None), prompt(tokenizer, [tool])
    return row


def write(path, rows):
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)
    print(f"{path.name}: {len(rows)}")


def main():
    chat_template_utils.datetime = Clock
    write(DATA / "snippets.jsonl", [text_snippets.CONTEXT] + [snippet(template, text_snippets.CONTEXT) for template in text_snippets.TEMPLATES])
    write(DATA / "directories.jsonl", [directory(*entry) for entry in DIRECTORIES])


if __name__ == "__main__":
    main()
