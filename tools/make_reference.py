"""Makes the reference of a Hugging Face causal language model: what it computes in f32, for `drover verify` to compare with."""

import argparse
import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

LENGTHS = (5, 23, 70)
EXAMPLES = """examples:
  tools/make_reference.py models/SmolLM2-135M                        three prompts of random ids (5, 23 and 70)
  tools/make_reference.py models/SmolLM2-135M --prompts texts.txt    one prompt a line, with the model's own tokenizer
  tools/make_reference.py MODEL --ids-from other.safetensors         the prompts of another reference
  drover verify models/SmolLM2-135M --against models/SmolLM2-135M/reference.safetensors --ranks 2

The file holds, for each prompt i: prompt.i.ids [n], prompt.i.logits [n, vocab]; greedy.i.ids [steps], greedy.i.logits [steps, vocab]
(row k chose id k), greedy.i.margin [steps] (best minus second best). Everything is computed in f32 with eager attention and no
KV cache: each greedy row is a fresh pass over all the ids before it. Stop ids do not end a continuation.
Needs torch, transformers and safetensors (tools/demo_model/requirements.txt)."""


def random_prompts(vocabulary, special, seed):
    """Prompts of random ids that are no special tokens."""
    generator = torch.Generator().manual_seed(seed)
    allowed = torch.tensor([i for i in range(vocabulary) if i not in special])
    return [allowed[torch.randint(len(allowed), (n,), generator=generator)] for n in LENGTHS]


def text_prompts(path, tokenizer):
    """The lines of a file as the tokenizer reads them, special tokens it adds included."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [torch.tensor(tokenizer(line).input_ids) for line in lines]


def stored_prompts(path):
    with safe_open(path, "pt") as file:
        count = sum(name.startswith("prompt.") and name.endswith(".ids") for name in file.keys())
        return [file.get_tensor(f"prompt.{i}.ids").long() for i in range(count)]


def config_ids(config):
    """The ids the config sets apart: begin, end, padding."""
    ids = set()
    for value in (config.bos_token_id, config.eos_token_id, config.pad_token_id):
        ids |= set(value) if isinstance(value, list) else {value}
    return ids - {None}


def reset_rope(model):
    """Dynamic RoPE scaling remembers the longest input; every pass has to stand alone."""
    for module in model.modules():
        if hasattr(module, "original_inv_freq") and hasattr(module, "original_max_seq_len"):
            module.inv_freq = module.original_inv_freq.clone()
            module.max_seq_len_cached = module.original_max_seq_len


@torch.no_grad()
def logits_of(model, ids):
    reset_rope(model)
    return model(input_ids=ids[None], use_cache=False).logits[0].float()


def greedy(model, prompt, steps):
    ids, rows = prompt, []
    for _ in range(steps):
        rows.append(logits_of(model, ids)[-1])
        ids = torch.cat([ids, rows[-1].argmax()[None]])
    return ids[len(prompt):], torch.stack(rows)


def reference(model, prompts, steps):
    tensors = {}
    for i, ids in enumerate(prompts):
        tensors[f"prompt.{i}.ids"] = ids.int()
        tensors[f"prompt.{i}.logits"] = logits_of(model, ids)
        if steps:
            chosen, rows = greedy(model, ids, steps)
            best = rows.topk(2).values
            tensors |= {f"greedy.{i}.ids": chosen.int(), f"greedy.{i}.logits": rows, f"greedy.{i}.margin": best[:, 0] - best[:, 1]}
        print(f"prompt {i}: {len(ids)} ids, {steps} greedy steps", file=sys.stderr)
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def chosen_prompts(args, config):
    if args.ids_from:
        return stored_prompts(args.ids_from)
    if args.prompts:
        return text_prompts(args.prompts, AutoTokenizer.from_pretrained(args.model))
    return random_prompts(config.get_text_config().vocab_size, config_ids(config.get_text_config()), args.seed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL_DIR")
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="texts, one a line (default: random ids)")
    parser.add_argument("--ids-from", type=Path, metavar="REFERENCE", help="take the prompts of another reference")
    parser.add_argument("--out", type=Path, help="file to write (default: MODEL_DIR/reference.safetensors)")
    parser.add_argument("--greedy", type=int, default=24, metavar="STEPS")
    parser.add_argument("--seed", type=int, default=1, help="of the random prompts")
    parser.add_argument("--threads", type=int, help="torch threads")
    args = parser.parse_args()
    if not (args.model / "config.json").is_file():
        sys.exit(f"{args.model}: found no config.json, expected a Hugging Face model directory")
    if args.threads:
        torch.set_num_threads(args.threads)
    transformers.utils.logging.disable_progress_bar()
    config = AutoConfig.from_pretrained(args.model)
    options = {"dtype": torch.float32, "attn_implementation": "eager"}
    if getattr(config.get_text_config(), "num_local_experts", None) or getattr(config.get_text_config(), "num_experts", None):
        options["experts_implementation"] = "eager"
    model = AutoModelForCausalLM.from_pretrained(args.model, **options).eval()
    prompts = chosen_prompts(args, config)
    if not prompts or any(len(ids) == 0 for ids in prompts):
        sys.exit("prompts: found none or an empty one, expected at least one id in each")
    facts = {"format": "drover-golden-1", "case": args.model.resolve().name, "seed": args.seed, "source": "transformers",
             "transformers": transformers.__version__, "torch": torch.__version__.split("+")[0], "attention": "eager", "dtype": "float32"}
    out = args.out or args.model / "reference.safetensors"
    save_file(reference(model, prompts, args.greedy), out, metadata={"golden": json.dumps(facts)})
    out.chmod(0o644)
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
