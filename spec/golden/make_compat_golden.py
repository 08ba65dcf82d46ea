"""Writes compat.json, the golden trajectories of spec/lua/step/compat_spec.lua: what the optimizer file
of the code released with the FSAM paper does to a tiny BERT in twenty updates, under PyTorch in f32
with dropout off.

    git clone https://github.com/WHU-ZQH/FSAM4PLM /tmp/FSAM4PLM        (at 44e2503)
    python3 spec/golden/make_compat_golden.py /tmp/FSAM4PLM            (needs torch, transformers)

That repository has no licence: nothing of it is here but the numbers. What stands around its
optimizer (fairseq's trainer, task and criterion) is played by this file:
  - the first gradient is the mean over the batch, clipped; the closure's is the sum;
  - zero_grad leaves zeros, as before torch 2, where the code was written;
  - Python's random numbers are replaced by those that fsam-lua draws, so that esam can be compared;
  - fisher-sam, which stops with a KeyError, is given a second step that restores the weights.
"""
import contextlib
import functools
import importlib
import io
import json
import os
import random
import sys
import types

import torch
from transformers import BertConfig, BertForSequenceClassification

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS, BATCH, SEED = 20, 8, 9
LR, BETAS, EPS, WEIGHT_DECAY = 2e-3, (0.9, 0.98), 1e-6, 0.1
MASK_ITER, KEEP_RATIO = 4, 0.2
EVERY = 23  # of each step, one weight in so many is kept

# name, sam_type, rho, beta, gamma, clip_norm
CASES = [
    ("sam", "sam", 0.3, 0.5, 0.5, 0.0),
    ("esam of samples", "esam", 0.3, 1.0, 0.5, 0.0),
    ("esam of tensors", "esam", 0.3, 0.6, 1.0, 0.0),
    ("esam", "esam", 0.3, 0.6, 0.5, 0.0),
    ("esam of too few samples", "esam", 0.3, 1.0, 0.1, 0.0),
    ("gsam", "gsam", 0.3, 0.5, 0.5, 0.0),
    ("gsam, clipped", "gsam", 0.3, 0.5, 0.5, 0.25),
    ("fisher-sam", "fisher-sam", 0.3, 0.5, 0.5, 0.0),
    ("fisher-esam of all", "fisher-esam", 0.3, 1.0, 1.0, 0.0),
    ("fisher-esam", "fisher-esam", 0.3, 0.6, 0.5, 0.0),
    ("fisher-gsam", "fisher-gsam", 0.3, 0.5, 0.5, 0.0),
]
ALPHA = 2.0  # released: gsam takes it, fisher-gsam does not (0.4)


def load_released(checkout):
    """The released optimizer module, with what it imports of fairseq stubbed."""
    def stub(name, **content):
        module = types.ModuleType(name)
        module.__dict__.update(content)
        sys.modules[name] = module
        return module

    def register_optimizer(*_, **__):
        return lambda cls: cls

    folder = os.path.join(checkout, "fairseq-FSAM", "optim")
    base = type("FairseqOptimizer", (), {})
    stub("fairseq")
    stub("fairseq.dataclass", FairseqDataclass=type("FairseqDataclass", (), {}))
    stub("fairseq.optim", FairseqOptimizer=base, register_optimizer=register_optimizer)
    stub("fairseq.optim.fused_adam", get_fused_adam_class=None)
    stub("omegaconf", II=str, OmegaConf=None)
    stub("torch.optim._multi_tensor", SGD=torch.optim.SGD)
    stub("released", __path__=[folder], LegacyFairseqOptimizer=base,
         register_optimizer=register_optimizer)
    torch.Tensor.cuda = lambda self, *_: self
    torch.nn.Module.cuda = lambda self, *_: self
    return importlib.import_module("released.samsgd")


def philox(counter, key):
    """Philox4x32-10 (Salmon et al. 2011)."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(q >> 32) ^ c[1] ^ k[0], q & 0xFFFFFFFF, (p >> 32) ^ c[3] ^ k[1], p & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


class Draws:
    """In place of the module `random`: fsam-lua's draw of the next step for one tensor after the
    other. A tensor's stream is its number in fsam-lua's layout, where matrices precede the rest."""

    def __init__(self, names):
        def is_matrix(name):
            inside = "embeddings" in name or "encoder" in name
            return name.endswith("weight") and inside and "LayerNorm" not in name
        layout = [n for n in names if is_matrix(n)] + [n for n in names if not is_matrix(n)]
        self.streams = [layout.index(name) for name in names]
        self.calls = 0

    def random(self):
        step, place = divmod(self.calls, len(self.streams))
        self.calls += 1
        out = philox([self.streams[place], 0, 0, 0x72616E64], [SEED, step + 1])
        return (out[0] + 0.5) / 2 ** 32


def new_model(weights):
    config = BertConfig(vocab_size=12, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=12, max_position_embeddings=8, type_vocab_size=2,
                        num_labels=2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    model = BertForSequenceClassification(config).train()
    if weights:
        model.load_state_dict(weights)
    # As before torch 2.
    model.zero_grad = functools.partial(torch.nn.Module.zero_grad, model, set_to_none=False)
    return model


def random_weights(generator):
    weights = {}
    for name, p in new_model(None).named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        weights[name] = 1 + 0.2 * noise if "LayerNorm.weight" in name else 0.5 * noise
    return weights


def new_samples(rng):
    """BATCH samples: ids and a label."""
    return [{"ids": [rng.randrange(1, 12) for _ in range(rng.randrange(3, 9))],
             "label": rng.randrange(2)} for _ in range(BATCH)]


def collate(samples):
    longest = max(len(s["ids"]) for s in samples)
    ids = torch.zeros(len(samples), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for b, s in enumerate(samples):
        ids[b, :len(s["ids"])] = torch.tensor(s["ids"])
        mask[b, :len(s["ids"])] = 1
    return {"id": torch.arange(len(samples)), "target": torch.tensor([s["label"] for s in samples]),
            "net_input": {"input_ids": ids, "attention_mask": mask}}


def new_closure(model, sample):
    """A pass at the weights as they are: sum of losses, gradients from nothing."""
    def closure(backward_grad_sync=True, forward_grad_sync=True, loss_backward=True, is_esam=False,
                input_samples=None):
        chosen = input_samples or sample
        for p in model.parameters():
            p.grad = None
        with torch.enable_grad():
            logits = model(**chosen["net_input"]).logits
            each = torch.nn.functional.cross_entropy(logits, chosen["target"], reduction="none")
            loss = each.sum()
            if loss_backward:
                loss.backward()
        out = (loss, len(each), {})
        return out + (each,) if is_esam else out
    return closure


def repaired(released):
    """fisher-sam with a second step that takes back what the first one added."""
    class Repaired(released.SAM_Mask):
        @torch.no_grad()
        def second_step(self, zero_grad=False):
            for p in self.model.parameters():
                p.sub_(self.state[p]["e_w"])
            self.base_optimizer.step()
    return Repaired


def new_optimizer(released, model, sam_type, rho, beta, gamma):
    args = types.SimpleNamespace(
        sam_type=sam_type, rho=rho, beta=beta, gamma=gamma, alpha=ALPHA, keep_ratio=KEEP_RATIO,
        mask_iter_e=MASK_ITER, num_samples=32, max_updates_gsam=STEPS, warmup_updates_gsam=0)
    with contextlib.redirect_stdout(io.StringIO()):  # it tells of each tensor outside the mask
        return released.FairseqSAM.create_optimizer(
            None, args, list(model.parameters()), torch.optim.Adam, model=model, lr=LR, betas=BETAS,
            eps=EPS, weight_decay=WEIGHT_DECAY, amsgrad=False)


def clip(parameters, limit):
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.sqrt(sum((g * g).sum() for g in gradients))
    if limit > 0:
        for g in gradients:
            g.mul_((limit / (norm + 1e-6)).clamp(max=1))
    return norm.item()


def update(optimizer, model, sam_type, step, sample, clip_norm):
    for group in optimizer.param_groups:
        group["lr"] = LR * (1 - step / (2 * STEPS))
    is_esam = "esam" in sam_type
    closure = new_closure(model, sample)
    loss, size, _, *each = closure(is_esam=is_esam)
    for p in model.parameters():
        if p.grad is not None:
            p.grad.div_(size)
    norm = clip(model.parameters(), clip_norm)
    if sam_type.startswith("fisher") and step % MASK_ITER == 0:
        optimizer.set_fisher_mask(closure=closure)
    optimizer.step(closure, loss_before=each[0] if is_esam else loss, input_samples=sample)
    return loss.item() / size, norm


def flat(model):
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def rounded(values, digits=9):
    return [float(f"%.{digits}g" % x) for x in values]


def trajectory(released, weights, batches, case):
    name, sam_type, rho, beta, gamma, clip_norm = case
    model = new_model(weights)
    released.random = Draws([n for n, _ in model.named_parameters()])
    optimizer = new_optimizer(released, model, sam_type, rho, beta, gamma)
    losses, norms, probes = [], [], []
    for step, samples in enumerate(batches):
        loss, norm = update(optimizer, model, sam_type, step, collate(samples), clip_norm)
        losses.append(loss)
        norms.append(norm)
        probes.append(rounded(flat(model)[::EVERY].tolist(), 8))
    print(f"{name}: losses {losses[0]:.3f} to {losses[-1]:.3f}, norms {min(norms):.2f} to "
          f"{max(norms):.2f}")
    return {"name": name, "sam_type": sam_type, "rho": rho, "beta": beta, "gamma": gamma,
            "clip_norm": clip_norm, "losses": rounded(losses), "probes": probes,
            "last": rounded(flat(model).tolist())}


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: make_compat_golden.py CHECKOUT (of github.com/WHU-ZQH/FSAM4PLM)")
    torch.manual_seed(1)
    torch.set_num_threads(1)
    released = load_released(sys.argv[1])
    released.SAM_Mask = repaired(released)
    weights = random_weights(torch.Generator().manual_seed(2))
    rng = random.Random(3)
    batches = [new_samples(rng) for _ in range(STEPS)]
    config = new_model(None).config
    golden = {
        "config": {key: getattr(config, key) for key in (
            "model_type", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
            "intermediate_size", "max_position_embeddings", "type_vocab_size")},
        "options": {"lr": LR, "adam_betas": BETAS, "adam_eps": EPS, "weight_decay": WEIGHT_DECAY,
                    "mask_iter_e": MASK_ITER, "keep_ratio": KEEP_RATIO, "alpha": ALPHA,
                    "seed": SEED, "steps": STEPS, "batch": BATCH, "every": EVERY},
        "names": list(weights),
        "weights": {name: rounded(w.reshape(-1).tolist()) for name, w in weights.items()},
        "batches": batches,
        "cases": [trajectory(released, weights, batches, case) for case in CASES],
    }
    with open(os.path.join(HERE, "compat.json"), "w") as file:
        json.dump(golden, file, separators=(",", ":"))
        file.write("\n")


main()
