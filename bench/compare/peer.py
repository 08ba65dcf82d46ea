"""The peer's side of bench/compare: PyTorch and Transformers on the same weights and batches,
padded to each batch's longest, SDPA attention.

    python3 peer.py FOLDER BATCHES.json OPTIMIZER PRECISION STEPS THREADS ORDER COMPILE

OPTIMIZER: adam (fused AdamW), sam or fisher-sam (foreach, mask by topk; see ours.lua). PRECISION:
fp32, or bf16 (autocast). ORDER: training, or sorted (the same sentences sorted by length before
they are cut into batches). COMPILE: eager or compile. Prints one JSON object as ours.lua does.
"""
import contextlib
import json
import resource
import sys
import time

import torch
from transformers import AutoModelForSequenceClassification

KEEP, SAMPLES, RHO = 0.1, 32, 0.05


def pack(samples, pad):
    longest = max(len(s["ids"]) for s in samples)
    ids = torch.full((len(samples), longest), pad)
    mask = torch.zeros((len(samples), longest), dtype=torch.long)
    for i, s in enumerate(samples):
        ids[i, :len(s["ids"])] = torch.tensor(s["ids"])
        mask[i, :len(s["ids"])] = 1
    return {"input_ids": ids, "attention_mask": mask,
            "labels": torch.tensor([s["label"] for s in samples])}


def ordered(batches, order):
    if order == "training":
        return batches
    pool = sorted((s for b in batches for s in b), key=lambda s: len(s["ids"]))
    count = len(batches[0])
    return [pool[i:i + count] for i in range(0, len(pool), count)]


class Step:
    """One step of an optimizer; a mask's bits are kept as one list of tensors."""

    def __init__(self, model, optimizer, context):
        self.model, self.kind, self.context = model, optimizer, context
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.adam = torch.optim.AdamW(self.parameters, lr=1e-6, weight_decay=0.01, fused=True)
        self.mask = None

    def backward(self, batch):
        self.adam.zero_grad(set_to_none=True)
        with self.context():
            loss = self.model(**batch).loss
        loss.backward()

    def gradients(self):
        return [p.grad if p.grad is not None else torch.zeros_like(p) for p in self.parameters]

    def refresh(self, samples, pad):
        fisher = [torch.zeros_like(p) for p in self.parameters]
        for sample in samples:
            self.backward(pack([sample], pad))
            gradients = self.gradients()
            torch._foreach_addcmul_(fisher, gradients, gradients)
        flat = torch.cat([f.flatten() for f in fisher])
        bits = torch.zeros_like(flat)
        bits[torch.topk(flat, int(KEEP * flat.numel()), sorted=False).indices] = 1
        self.mask = [part.view_as(f) for part, f in
                     zip(bits.split([f.numel() for f in fisher]), fisher)]

    @torch.no_grad()
    def perturb(self):
        gradients = self.gradients()
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        e = torch._foreach_mul(gradients, (RHO / norm).item())
        if self.mask is not None:
            torch._foreach_mul_(e, self.mask)
        torch._foreach_add_(self.parameters, e)
        return e

    def __call__(self, batch):
        self.backward(batch)
        if self.kind != "adam":
            e = self.perturb()
            self.backward(batch)
            with torch.no_grad():
                torch._foreach_sub_(self.parameters, e)
        self.adam.step()


def main():
    folder, path, optimizer, precision, steps, threads, order, compiled = sys.argv[1:]
    torch.set_num_threads(int(threads))
    with open(path, encoding="utf-8") as f:
        batches = json.load(f)
    model = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="sdpa",
                                                               dtype=torch.float32)
    pad = model.config.pad_token_id

    def context():
        return (torch.autocast("cpu", torch.bfloat16) if precision == "bf16"
                else contextlib.nullcontext())

    model.eval()
    with torch.no_grad(), context():
        loss = model(**pack(batches[0], pad)).loss.item()
    model.train()
    if compiled == "compile":
        model.compile(dynamic=True)
    batches = ordered(batches, order)
    samples = [s for b in batches for s in b][:SAMPLES]
    step = Step(model, optimizer, context)

    def timed(n):
        began = time.perf_counter()
        step(pack(batches[n % len(batches)], pad))
        return time.perf_counter() - began

    mask = None
    if optimizer == "fisher-sam":
        step.refresh(samples[:2], pad)
    timed(0)
    timed(1)
    if optimizer == "fisher-sam":
        began = time.perf_counter()
        step.refresh((samples * SAMPLES)[:SAMPLES], pad)
        mask = time.perf_counter() - began + timed(2)
    # Sorted batches have one length each: all of them, as often as each other.
    count = int(steps) if order == "training" else max(int(steps), len(batches))
    began = time.process_time()
    seconds = [timed(i) for i in range(count)]
    processor = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"loss": loss, "seconds": seconds, "processor": processor, "mask": mask,
                      "peak": peak}))


main()
