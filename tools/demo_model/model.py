"""The Llama 4 text architecture for training: same equations and parameter names as the reference, but each token visits only its own expert."""

import json
from dataclasses import asdict, dataclass, field

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Shape:
    """Everything config.json says about the shape of the model."""
    vocab_size: int = 1280
    hidden_size: int = 192
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 64
    num_local_experts: int = 8
    intermediate_size: int = 128
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5
    attention_chunk_size: int = 128
    floor_scale: int = 64
    attn_scale: float = 0.1
    max_position_embeddings: int = 512
    no_rope_layers: list = field(default_factory=lambda: [1, 0, 1, 0])  # 1: RoPE within chunks, 0: no positions, sees everything

    def save(self, path):
        with open(path, "w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=2)


class RmsNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(torch.ones(size))

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


def rotate(x, cos, sin):
    """Turns the pairs (x0, x1), (x2, x3), ... of the last axis; cos, sin: [length, 1, head_dim / 2]."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class Attention(nn.Module):
    def __init__(self, shape, rope):
        super().__init__()
        self.shape, self.rope = shape, rope
        hidden, head = shape.hidden_size, shape.head_dim
        self.q_proj = nn.Linear(hidden, shape.num_attention_heads * head, bias=False)
        self.k_proj = nn.Linear(hidden, shape.num_key_value_heads * head, bias=False)
        self.v_proj = nn.Linear(hidden, shape.num_key_value_heads * head, bias=False)
        self.o_proj = nn.Linear(shape.num_attention_heads * head, hidden, bias=False)

    def forward(self, x, tables):
        batch, length, _ = x.shape
        head = (batch, length, -1, self.shape.head_dim)
        q, k, v = self.q_proj(x).view(head), self.k_proj(x).view(head), self.v_proj(x).view(head)
        if self.rope:
            q, k = rotate(q, tables["cos"], tables["sin"]), rotate(k, tables["cos"], tables["sin"])
            q = F.rms_norm(q, q.shape[-1:], None, self.shape.rms_norm_eps)
            k = F.rms_norm(k, k.shape[-1:], None, self.shape.rms_norm_eps)
        else:
            q = q * tables["scale"]
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        mask = tables["chunk_mask"] if self.rope else None
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=True)
        return self.o_proj(out.transpose(1, 2).reshape(batch, length, -1))


class SharedExpert(nn.Module):
    def __init__(self, hidden, width):
        super().__init__()
        self.gate_proj = nn.Linear(hidden, width, bias=False)
        self.up_proj = nn.Linear(hidden, width, bias=False)
        self.down_proj = nn.Linear(width, hidden, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Experts(nn.Module):
    def __init__(self, count, hidden, width):
        super().__init__()
        self.gate_up_proj = nn.Parameter(torch.empty(count, hidden, 2 * width))
        self.down_proj = nn.Parameter(torch.empty(count, width, hidden))

    def forward(self, x, counts):
        """x: rows sorted by expert; counts: rows of each expert."""
        out = []
        for rows, gate_up, down in zip(x.split(counts), self.gate_up_proj.unbind(), self.down_proj.unbind()):
            gate, up = (rows @ gate_up).chunk(2, -1)
            out.append((F.silu(gate) * up) @ down)
        return torch.cat(out)


class Moe(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.experts = Experts(shape.num_local_experts, shape.hidden_size, shape.intermediate_size)
        self.router = nn.Linear(shape.hidden_size, shape.num_local_experts, bias=False)
        self.shared_expert = SharedExpert(shape.hidden_size, shape.intermediate_size)

    def forward(self, x):
        """shared(x) + expert_e(sigmoid(l_e) x), e the best of l. Also returns the balance loss and the rows of each expert."""
        logits = self.router(x)
        best, chosen = logits.max(-1)
        order = chosen.argsort()
        counts = torch.bincount(chosen, minlength=logits.shape[-1])
        routed = self.experts((x * best.sigmoid()[:, None])[order], counts.tolist())
        balance = len(counts) * (counts / len(x) * logits.softmax(-1).mean(0)).sum()
        return self.shared_expert(x).index_add(0, order, routed), balance, counts


class Layer(nn.Module):
    def __init__(self, shape, rope):
        super().__init__()
        self.self_attn = Attention(shape, rope)
        self.feed_forward = Moe(shape)
        self.input_layernorm = RmsNorm(shape.hidden_size, shape.rms_norm_eps)
        self.post_attention_layernorm = RmsNorm(shape.hidden_size, shape.rms_norm_eps)


class Decoder(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(Layer(shape, bool(rope)) for rope in shape.no_rope_layers)
        self.norm = RmsNorm(shape.hidden_size, shape.rms_norm_eps)


class DemoModel(nn.Module):
    """`forward` gives the logits of the chosen rows; parameter names are those of Llama4ForCausalLM."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.model = Decoder(shape)
        self.lm_head = nn.Linear(shape.hidden_size, shape.vocab_size, bias=False)
        for name, p in self.named_parameters():
            if p.dim() > 1:
                small = name.endswith(("o_proj.weight", "down_proj", "down_proj.weight"))
                nn.init.normal_(p, std=0.02 if "embed" in name else 0.06 / (2 if small else 1))

    def tables(self, length):
        """What depends on positions alone: rotation, query scale, chunk mask."""
        s, position = self.shape, torch.arange(length)
        inverse = 1.0 / (s.rope_theta ** (torch.arange(0, s.head_dim, 2).float() / s.head_dim))
        angle = (position[:, None].float() * inverse)[:, None, :]
        scale = torch.log1p(torch.floor((position.float() + 1.0) / s.floor_scale)) * s.attn_scale + 1.0
        chunk = position // s.attention_chunk_size
        mask = (chunk[:, None] == chunk) & (position[:, None] >= position)
        return {"cos": angle.cos(), "sin": angle.sin(), "scale": scale[:, None, None],
                "chunk_mask": mask if length > s.attention_chunk_size else None}

    def forward(self, ids, rows=None):
        """ids [batch, length]; rows: flat indices whose logits are wanted (all if absent). Returns logits, balance loss, usage."""
        tables = self.tables(ids.shape[1])
        x, balance, usage = self.model.embed_tokens(ids), 0.0, []
        for layer in self.model.layers:
            x = x + layer.self_attn(layer.input_layernorm(x), tables)
            out, loss, counts = layer.feed_forward(layer.post_attention_layernorm(x).flatten(0, 1))
            x = x + out.view_as(x)
            balance, usage = balance + loss, usage + [counts]
        x = x.flatten(0, 1)
        x = self.model.norm(x if rows is None else x[rows])
        return self.lm_head(x), balance, torch.stack(usage)
