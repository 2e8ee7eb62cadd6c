"""Trains the demo model on a CPU (or a GPU). Writes checkpoint.pt regularly and log.jsonl; the weights are rounded to bf16 at the end."""

import argparse
import json
import math
import os
import random
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as processes
import torch.nn.functional as F
from tokenizers import Tokenizer

from model import DemoModel, Shape

BEGIN, EOT, PAD, ROLES = 0, 2, 3, {"system": 4, "user": 5, "assistant": 6}


def encode(messages, tokenizer):
    """Ids as the chat template gives them, and for every id whether the model has to learn it (the answers and their end)."""
    ids, learnt = [BEGIN], [False]
    for message in messages:
        answer = message["role"] == "assistant"
        ids.append(ROLES[message["role"]])
        learnt.append(False)
        for part, learn in zip(message.get("parts", [message["content"]]), message.get("learn", [answer])):
            text = tokenizer.encode(part, add_special_tokens=False).ids
            ids += text
            learnt += [learn] * len(text)
        ids.append(EOT)
        learnt.append(answer)
    return ids, learnt


def load(path, tokenizer, longest):
    with open(path, encoding="utf-8") as file:
        rows = (encode(json.loads(line)["messages"], tokenizer) for line in file)
        return [(ids[:longest], learnt[:longest]) for ids, learnt in rows]


def batches(rows, tokens, rng):
    """One epoch: rows of like length together, `tokens` ids a batch with padding, in random order."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]) + rng.random() * 4)
    groups, group = [], []
    for i in order:
        if (len(group) + 1) * len(rows[i][0]) > tokens:
            groups.append(group)
            group = []
        group.append(i)
    rng.shuffle(groups)
    for group in groups:
        yield [rows[i] for i in group]


def tensors(group):
    """Padded ids, and the flat rows whose next id counts, with that id."""
    width = max(len(ids) for ids, _ in group)
    ids = torch.full((len(group), width), PAD)
    learnt = torch.zeros(len(group), width, dtype=torch.bool)
    for i, (row, flags) in enumerate(group):
        ids[i, :len(row)] = torch.tensor(row)
        learnt[i, :len(row)] = torch.tensor(flags)
    rows = learnt[:, 1:].nonzero()
    return ids, rows[:, 0] * width + rows[:, 1], ids[rows[:, 0], rows[:, 1] + 1]


def progress(step, seconds, args):
    """How much of the training is done, 0 to 1: of the steps or of the minutes, whichever ends first."""
    return max(step / args.steps, seconds / (60 * args.minutes))


def learning_rate(step, done, args):
    return args.lr * min(1.0, (step + 1) / args.warmup) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))


def optimiser(model, args):
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": args.decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98), eps=1e-9, fused=True)


def average(model, count):
    """Every process leaves with the mean of all processes' gradients."""
    if count > 1:
        flat = torch.cat([p.grad.flatten() for p in model.parameters()])
        dist.all_reduce(flat)
        for p, part in zip(model.parameters(), (flat / count).split([p.numel() for p in model.parameters()])):
            p.grad.copy_(part.view_as(p))


def agreed(done, count):
    """The progress of the slowest clock, so that all processes end after the same step."""
    if count == 1:
        return done
    value = torch.tensor(done)
    dist.all_reduce(value, dist.ReduceOp.MAX)
    return value.item()


def save(model, path, step):
    torch.save({"step": step, "weights": {k: v.cpu() for k, v in model.state_dict().items()}}, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def run(model, rows, args, rank, log):
    """The training itself; returns when `--steps` or `--minutes` are over."""
    rng, adam, device = random.Random(args.seed), optimiser(model, args), args.device
    start, cpu, step = time.time(), time.process_time(), 0
    total = torch.zeros(2)
    while True:
        groups = list(batches(rows, args.tokens, rng))
        for group in groups[rank:len(groups) // args.processes * args.processes:args.processes]:
            done = agreed(progress(step, time.time() - start, args), args.processes)
            for part in adam.param_groups:
                part["lr"] = learning_rate(step, done, args)
            ids, at, target = (t.to(device) for t in tensors(group))
            logits, balance, usage = model(ids, at)
            loss = F.cross_entropy(logits, target)
            adam.zero_grad(set_to_none=True)
            (loss + args.balance * balance).backward()
            average(model, args.processes)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            adam.step()
            total += torch.tensor([loss.item(), (logits.argmax(-1) == target).float().mean().item()])
            step += 1
            if log and (step % args.every == 0 or done >= 1):
                line = {"step": step, "loss": round(total[0].item() / args.every, 4), "right": round(total[1].item() / args.every, 4),
                        "least_used": round((usage.min(1).values / usage.sum(1)).min().item(), 3), "seconds": round(time.time() - start),
                        "cpu_seconds": round(time.process_time() - cpu)}
                print(json.dumps(line), file=log, flush=True)
                total.zero_()
                save(model, args.out / "checkpoint.pt", step)
            if done >= 1:
                return


def work(rank, args):
    """One process of the training."""
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    if args.processes > 1:
        store = dist.FileStore(str(args.out / "rendezvous"), args.processes)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=args.processes)
    tokenizer = Tokenizer.from_file(str(args.data / "tokenizer.json"))
    rows = load(args.data / "train.jsonl", tokenizer, Shape().max_position_embeddings)
    print(f"{len(rows)} conversations, {sum(len(r[0]) for r in rows)} tokens, {sum(sum(r[1]) for r in rows)} learnt", flush=True)
    model = DemoModel(Shape(vocab_size=tokenizer.get_vocab_size())).to(args.device)
    if args.start:
        model.load_state_dict(torch.load(args.start, map_location=args.device, weights_only=True)["weights"])
    with open(args.out / "log.jsonl" if rank == 0 else os.devnull, "w", encoding="utf-8") as log:
        run(model, rows, args, rank, log if rank == 0 else None)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("data"))
    parser.add_argument("--start", type=Path, help="checkpoint to go on from")
    parser.add_argument("--steps", type=int, default=14000)
    parser.add_argument("--minutes", type=float, default=40, help="ends the training, and its learning rate schedule, after this time")
    parser.add_argument("--tokens", type=int, default=1024, help="ids in a batch of one process")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--decay", type=float, default=0.1)
    parser.add_argument("--warmup", type=int, default=150)
    parser.add_argument("--balance", type=float, default=0.005, help="weight of the loss that keeps all experts in use")
    parser.add_argument("--every", type=int, default=100, help="steps between two lines of the log and two checkpoints")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2, help="each runs one thread on its own batches; gradients are averaged")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    if args.processes == 1:
        work(0, args)
    else:
        processes.spawn(work, (args,), nprocs=args.processes)


if __name__ == "__main__":
    main()
