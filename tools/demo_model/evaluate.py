"""Asks a model the held-out questions, greedily, and prints how many it answers right, by category.

The model is a Hugging Face directory run by the reference (Llama4ForCausalLM in f32, eager attention), or with --url any server
with an OpenAI-compatible chat endpoint. An answer is right if it names an accepted answer as a whole word, no rejected word, and
(where the question has numbers) no other number.
"""

import argparse
import json
import re
import sys
import urllib.request
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

NUMBER = re.compile(r"-?\d+")


def names(text, word):
    return re.search(rf"(?<![\w]){re.escape(word)}(?![\w])", text, re.IGNORECASE) is not None


def right(row, answer):
    if not any(names(answer, word) for word in row["accept"]):
        return False
    if "numbers" in row and not set(NUMBER.findall(answer)) <= set(row["numbers"]):
        return False
    return not any(names(answer, word) for word in row.get("reject", []))


def reference(directory, limit):
    """A function from messages to an answer, computed by transformers."""
    import torch
    from transformers import AutoTokenizer, Llama4ForCausalLM
    from transformers.utils import logging
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = Llama4ForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()

    @torch.no_grad()
    def answer(messages):
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids
        out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=limit)
        return tokenizer.decode(out[0, ids.shape[1]:], skip_special_tokens=True)
    return answer


def server(url, name, limit):
    """The same, asked over HTTP at temperature 0."""
    def answer(messages):
        body = {"messages": messages, "temperature": 0, "max_tokens": limit, **({"model": name} if name else {})}
        request = urllib.request.Request(url.rstrip("/") + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as response:
            return json.load(response)["choices"][0]["message"]["content"]
    return answer


def served_name(url):
    with urllib.request.urlopen(url.rstrip("/") + "/v1/models", timeout=30) as response:
        return json.load(response)["data"][0]["id"]


def report(rows, answers):
    """Counts by category, and every wrong answer."""
    count, good, wrong = defaultdict(int), defaultdict(int), []
    for row, answer in zip(rows, answers):
        count[row["category"]] += 1
        good[row["category"]] += right(row, answer)
        if not right(row, answer):
            wrong.append({"id": row["id"], "question": row["messages"][-1]["content"], "expected": row["answer"], "answer": answer})
    by = {c: {"right": good[c], "of": count[c], "accuracy": round(good[c] / count[c], 4)} for c in count}
    return {"right": sum(good.values()), "of": len(rows), "accuracy": round(sum(good.values()) / len(rows), 4), "categories": by, "wrong": wrong}


def show(result, wrong):
    for category, row in result["categories"].items():
        print(f"{category:16} {row['right']:4} of {row['of']:4}  {100 * row['accuracy']:5.1f} %")
    print(f"{'all':16} {result['right']:4} of {result['of']:4}  {100 * result['accuracy']:5.1f} %")
    for row in result["wrong"] if wrong else []:
        print(f"  {row['id']}: {row['question']} -> {row['answer']} (expected: {row['expected']})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parent
    parser.add_argument("--model", type=Path, default=here / "../../demo/model", help="model directory for the reference")
    parser.add_argument("--url", help="ask this server instead, such as http://127.0.0.1:8000")
    parser.add_argument("--questions", type=Path, default=here / "../../demo/heldout.jsonl")
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--clients", type=int, default=1, help="questions asked at once (with --url)")
    parser.add_argument("--wrong", action="store_true", help="also print the wrong answers")
    parser.add_argument("--answers", type=Path, help="write every answer to this file (JSON lines)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--at-least", type=float, default=0.0, help="exit with 1 below this accuracy (0 to 1)")
    args = parser.parse_args()
    rows = [json.loads(line) for line in args.questions.read_text(encoding="utf-8").splitlines()]
    ask = server(args.url, served_name(args.url), args.max_tokens) if args.url else reference(args.model, args.max_tokens)
    with ThreadPoolExecutor(args.clients if args.url else 1) as pool:
        answers = list(pool.map(lambda row: ask(row["messages"]), rows))
    if args.answers:
        args.answers.write_text("".join(json.dumps({"id": r["id"], "answer": a}, ensure_ascii=False) + "\n" for r, a in zip(rows, answers)), encoding="utf-8")
    result = report(rows, answers)
    print(json.dumps(result, ensure_ascii=False)) if args.json else show(result, args.wrong)
    sys.exit(0 if result["accuracy"] >= args.at_least else 1)


if __name__ == "__main__":
    main()
