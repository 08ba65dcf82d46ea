"""RoBERTa with a classification head in plain PyTorch (Liu et al. 2019, Transformers' layout) for
batches that are padded, ids[B, S] with a mask or None, or packed, ids[T] with the samples' ends.
Dropout as in the published configuration.
"""
import math

import torch
from torch import nn
from torch.nn import functional as F

SIZES = {  # layers, width, feed-forward, heads, vocabulary
    "roberta_base": (12, 768, 3072, 12, 50265),
    "roberta_large": (24, 1024, 4096, 16, 50265),
    "check": (2, 64, 128, 2, 1000),
}


def varlen():
    """(name, function(q, k, v, starts, longest, p)) of attention over packed samples, or None."""
    if not torch.cuda.is_available():
        return None
    try:
        from flash_attn import flash_attn_varlen_func
        return "flash_attn", lambda q, k, v, starts, longest, p: flash_attn_varlen_func(
            q, k, v, starts, starts, longest, longest, dropout_p=p)
    except ImportError:
        pass
    try:
        from torch.nn.attention.varlen import varlen_attn
        return "torch varlen_attn, without attention's dropout", \
            lambda q, k, v, starts, longest, _: varlen_attn(q, k, v, starts, starts, longest,
                                                            longest)
    except ImportError:
        return None


def by_samples(q, k, v, starts, _longest, p):
    """The same, sample by sample: for --check on the CPU."""
    parts, ends = [], starts.tolist()
    for a, b in zip(ends, ends[1:]):
        part = [x[a:b].transpose(0, 1) for x in (q, k, v)]
        parts.append(F.scaled_dot_product_attention(*part, dropout_p=p).transpose(0, 1))
    return torch.cat(parts)


def by_hand(q, k, v, mask, p):
    """Products, softmax and dropout one after the other, as fairseq's attention does."""
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return F.dropout(F.softmax(scores, -1), p) @ v


class Layer(nn.Module):
    def __init__(self, width, inner, heads, attend):
        super().__init__()
        self.heads, self.attend = heads, attend
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=1e-5) for _ in range(2))

    def attention(self, x, place, p):
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))
        if isinstance(place, tuple):  # packed: starts, longest
            q, k, v = qkv.unbind(-3)
            return self.attend(q, k, v, *place, p).flatten(-2)
        q, k, v = (part.transpose(1, 2) for part in qkv.unbind(-3))
        if self.attend is by_hand:
            y = by_hand(q, k, v, place, p)
        else:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=place, dropout_p=p)
        return y.transpose(1, 2).flatten(-2)

    def forward(self, x, place):
        p = 0.1 if self.training else 0.0
        x = self.norm1(x + F.dropout(self.out(self.attention(x, place, p)), p))
        return self.norm2(x + F.dropout(self.down(F.gelu(self.up(x))), p))


class Roberta(nn.Module):
    """attend: None (scaled_dot_product_attention), by_hand, or a function over packed samples."""

    def __init__(self, arch, attend=None):
        super().__init__()
        layers, width, inner, heads, vocabulary = SIZES[arch]
        self.word = nn.Embedding(vocabulary, width, padding_idx=1)
        self.position = nn.Embedding(514, width, padding_idx=1)
        self.token_type = nn.Embedding(1, width)
        self.norm = nn.LayerNorm(width, eps=1e-5)
        self.layers = nn.ModuleList(Layer(width, inner, heads, attend) for _ in range(layers))
        self.dense, self.classifier = nn.Linear(width, width), nn.Linear(width, 2)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, ids, positions, place, firsts):
        """Logits [B, 2]. place: mask[B, 1, 1, S], None, or (starts, longest); firsts: the rows of
        the samples' first tokens where packed, else None."""
        p = 0.1 if self.training else 0.0
        x = self.word(ids) + self.position(positions) + self.token_type.weight[0]
        x = F.dropout(self.norm(x), p)
        for layer in self.layers:
            x = layer(x, place)
        x = x[:, 0] if firsts is None else x[firsts]
        x = torch.tanh(self.dense(F.dropout(x, p)))
        return self.classifier(F.dropout(x, p))


def load_transformers(model, other):
    """Copies the weights of a RobertaForSequenceClassification, to compare."""
    e = other.roberta.embeddings
    pairs = [(model.word, e.word_embeddings), (model.position, e.position_embeddings),
             (model.token_type, e.token_type_embeddings), (model.norm, e.LayerNorm),
             (model.dense, other.classifier.dense), (model.classifier, other.classifier.out_proj)]
    for mine, theirs in zip(model.layers, other.roberta.encoder.layer):
        own = theirs.attention.self
        with torch.no_grad():
            for name in ("weight", "bias"):
                getattr(mine.qkv, name).copy_(torch.cat(
                    [getattr(part, name) for part in (own.query, own.key, own.value)]))
        pairs += [(mine.out, theirs.attention.output.dense),
                  (mine.norm1, theirs.attention.output.LayerNorm),
                  (mine.up, theirs.intermediate.dense), (mine.down, theirs.output.dense),
                  (mine.norm2, theirs.output.LayerNorm)]
    for mine, theirs in pairs:
        mine.load_state_dict(theirs.state_dict())
