"""Checks an exported model: the training implementation and transformers give the same logits, the chat template the ids of training."""

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoTokenizer, Llama4ForCausalLM
from transformers.utils import logging

from model import DemoModel, Shape
from train import ROLES, encode

CHAT = [{"role": "system", "content": "Be polite."}, {"role": "user", "content": "What is 12 + 7?"},
        {"role": "assistant", "content": "12 plus 7 is 19."}, {"role": "user", "content": "Hello"}]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    args = parser.parse_args()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    reference = Llama4ForCausalLM.from_pretrained(args.directory, dtype=torch.float32, attn_implementation="eager").eval()
    weights = {k: v.float() for k, v in load_file(args.directory / "model.safetensors").items()}
    shape = Shape(vocab_size=len(weights["lm_head.weight"]))
    model = DemoModel(shape)
    model.load_state_dict(weights)
    worst = 0.0
    for length in (5, shape.attention_chunk_size - 1, 3 * shape.attention_chunk_size):
        ids = torch.randint(7, shape.vocab_size, (2, length))
        with torch.no_grad():
            difference = (model(ids)[0].view(2, length, -1) - reference(input_ids=ids, use_cache=False).logits).abs().max().item()
        print(f"{length} ids: largest difference of a logit {difference:.1e}")
        worst = max(worst, difference)
    trained = encode(CHAT, Tokenizer.from_file(str(args.directory / "tokenizer.json")))[0] + [ROLES["assistant"]]
    tokenizer = AutoTokenizer.from_pretrained(args.directory)
    text = tokenizer.apply_chat_template(CHAT, add_generation_prompt=True, tokenize=False)
    same = trained == tokenizer(text, add_special_tokens=False).input_ids
    print(f"chat template: {'the ids of training' if same else 'other ids than in training'}")
    sys.exit(0 if same and worst <= args.tolerance else 1)


if __name__ == "__main__":
    main()
