"""The peer of bench/gpu: PyTorch takes the same steps on the same lengths. bench/gpu/run calls it.

    python3 bench/gpu/peer/main.py --out FILE --part NAME --arch roberta_large --shape cola
        --mode eager|compile|released|ceilings --precision master|autocast|fp32|tf32 [--packed]
        [--optimizers adam,sam,esam,fisher-sam] [--check]

master: bf16 weights with f32 master weights. Every result is a line of JSON, written at once. A
time is that of a round (all batches of the shape, or two steps) between two waits for the device,
divided by its steps; rounds before are not counted. --check: tiny, short, on the CPU.
--check-model compares the encoder with Transformers'. Needs torch alone (--check-model:
transformers). Compiled models see padded lengths that are multiples of 8, so that few are compiled.
"""
import argparse
import contextlib
import json
import os
import subprocess
import time

import torch
from torch.nn import functional as F

import batches
import fused
import released
import roberta

WARM, MOST = 4, 12  # rounds before; the most seconds of those that count


def parse():
    p = argparse.ArgumentParser()
    for name in ("out", "part", "arch", "shape", "mode", "precision"):
        p.add_argument("--" + name)
    p.add_argument("--optimizers", default="adam,sam,esam,fisher-sam")
    for name in ("packed", "check", "check-model"):
        p.add_argument("--" + name, action="store_true")
    return p.parse_args()


class Report:
    def __init__(self, a):
        self.a = a

    def __call__(self, kind, **line):
        line = {"part": self.a.part, "side": "theirs", "turn": 1, "kind": kind, **line}
        with open(self.a.out, "a", encoding="utf-8") as f:
            f.write(json.dumps(line) + "\n")


def wait():
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def device_bytes():
    """What the device itself says is in use, as on fsam-lua's side; None where it does not say."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or "0"
    try:
        text = subprocess.run(
            ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i",
             visible.split(",")[0]], capture_output=True, text=True, check=True).stdout
        return int(text.splitlines()[0]) * 2 ** 20
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError):
        return None


def seconds_of(fn, count):
    fn()
    wait()
    times = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(count):
            fn()
        wait()
        times.append((time.perf_counter() - began) / count)
    return sorted(times)[2]


def ceilings(report, device, check):
    n = 10 ** 5 if check else 2 ** 28
    a, b = torch.randn(n, device=device), torch.empty(n, device=device)
    report("ceiling", what="copy", how="torch copy_, f32",
           rate=8 * n / seconds_of(lambda: b.copy_(a), 20))
    n = 64 if check else 8192
    x, w = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    report("ceiling", what="matmul", how=f"{n}³ bf16, torch.matmul",
           rate=2 * n ** 3 / seconds_of(lambda: torch.matmul(x, w), 20))


class Passes:
    """Forward and backward over a batch, under a precision."""

    def __init__(self, model, device, precision, longest):
        self.model, self.device, self.longest = model, device, longest
        self.context = (lambda: torch.autocast(device, torch.bfloat16)) \
            if precision == "autocast" else contextlib.nullcontext

    def losses(self, batch, chosen=None):
        inputs, labels = batch.to(self.device, self.longest)
        if chosen is not None:
            inputs = choose(batch, inputs, chosen, self.device, self.longest)
            labels = labels[chosen]
        with self.context():
            logits = self.model(*inputs)
        return F.cross_entropy(logits.float(), labels, reduction="none")

    def run(self, batch, chosen=None):
        if torch.cuda.is_available():
            torch.compiler.cudagraph_mark_step_begin()
        losses = self.losses(batch, chosen)
        losses.mean().backward()
        return losses


def choose(batch, inputs, chosen, device, longest):
    """The inputs of some samples of a batch."""
    ids, positions, place, firsts = inputs
    if not batch.packed:
        return ids[chosen], positions[chosen], place if place is None else place[chosen], None
    starts = place[0]
    ends = torch.stack([starts[chosen], starts[chosen + 1]]).tolist()
    rows = torch.cat([torch.arange(a, b, device=device) for a, b in zip(*ends)])
    sizes = torch.tensor([0] + [b - a for a, b in zip(*ends)]).cumsum(0).to(device, torch.int32)
    return ids[rows], positions[rows], (sizes, longest), sizes[:-1].long()


BACKENDS = ("flash", "mem_efficient", "cudnn", "math")


def pin_attention(arch, work, dtype, device):
    """Turns on one backend of scaled_dot_product_attention alone: the fastest there and back on the
    largest batch. Returns its name."""
    if device == "cpu":
        return "the CPU's"
    heads = roberta.SIZES[arch][3]
    width = roberta.SIZES[arch][1] // heads
    batch = max(work, key=lambda b: b.padded)
    inputs, _ = batch.to(device, batch.longest)
    count, length = inputs[0].shape
    q, k, v = (torch.randn(count, heads, length, width, device=device, dtype=dtype,
                           requires_grad=True) for _ in range(3))

    def only(name):
        for other in BACKENDS:
            getattr(torch.backends.cuda, f"enable_{other}_sdp")(other == name)

    def trial():
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=inputs[2], dropout_p=0.1)
        y.sum().backward()

    times = {}
    for name in BACKENDS:
        only(name)
        try:
            times[name] = seconds_of(trial, 20)
        except RuntimeError:
            continue
    best = min(times, key=times.get)
    only(best)
    return best


def rounds(step, work, count, check):
    """Seconds of a step, one figure for each round."""
    times, began = [], time.perf_counter()
    for i in range(count):
        wait()
        start = time.perf_counter()
        for batch in work:
            step(batch)
        wait()
        times.append((time.perf_counter() - start) / len(work))
        if i >= 2 and time.perf_counter() - began > MOST or check:
            break
    return sorted(times)


def quantile(times, q):
    return times[max(0, min(len(times) - 1, int(q * len(times) + 0.999999) - 1))]


def measure(report, a, name, steps, work, singles, about):
    """One optimizer: a line of results."""
    step = getattr(steps, name.replace("-", "_") + "_step")
    if name == "fisher-sam":
        steps.refresh(singles)
    rounds(step, work, WARM, a.check)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    times = rounds(step, work, 10 if a.shape == "cola" else 12, a.check)
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    line = dict(about, optimizer=name, arch=a.arch, shape=a.shape, bytes=peak,
                device_bytes=device_bytes(), tokens=sum(b.tokens for b in work) / len(work),
                padded=sum(b.padded for b in work) / len(work),
                seconds={"median": quantile(times, 0.5), "q1": quantile(times, 0.25),
                         "q3": quantile(times, 0.75), "count": len(times)})
    if name == "fisher-sam":
        line["refresh"] = seconds_of(lambda: steps.refresh(singles), 1)
    report("step", **line)


def bench(report, a, device):
    arch = "check" if a.check else a.arch
    vocabulary, pin = roberta.SIZES[arch][4], device == "cuda"
    multiple = 64 if a.packed else 8 if a.mode == "compile" else 1
    work = batches.make(a.shape, vocabulary, a.packed, multiple, a.check, pin)
    singles = batches.singles(a.shape, 2 if a.check else 32, vocabulary, a.packed,
                              64 if a.packed else 1, a.check, pin)
    attend, attention = None, None
    if a.packed:
        found = roberta.varlen() or (("sample by sample", roberta.by_samples) if a.check else None)
        if not found:
            report("absent", text="neither flash_attn nor torch's varlen_attn can be imported: "
                                  "PyTorch without padding was not measured")
            return
        attention, attend = found
    elif a.mode == "released":
        attention, attend = "by hand", roberta.by_hand
    if a.precision == "tf32":
        torch.backends.cuda.matmul.allow_tf32 = True
    if attention is None:
        half = a.precision in ("master", "autocast")
        attention = pin_attention(arch, work, torch.bfloat16 if half else torch.float32, device)
    about = {"mode": "PyTorch " + a.mode + (", unpadded" if a.packed else ""),
             "precision": a.precision, "attention": attention}
    for name in a.optimizers.split(","):
        model, steps = build(a, arch, attend, device, max(b.longest for b in work))
        measure(report, a, name, steps, work * 2 if len(work) == 1 else work, singles, about)
        del model, steps
        if device == "cuda":
            torch.cuda.empty_cache()


COMPILED = {}


def build(a, arch, attend, device, longest):
    """A model with its steps. A compiled model is kept, so that it is compiled once."""
    if "model" in COMPILED:
        model, run = COMPILED["model"]
    else:
        torch.manual_seed(1)
        model = roberta.Roberta(arch, attend).to(device).train()
        if a.precision == "master":
            model.bfloat16()
        run = model
        if a.mode == "compile":
            how = {"backend": "aot_eager"} if a.check else {"mode": "reduce-overhead"}
            run = torch.compile(model, dynamic=False, **how)
            COMPILED["model"] = model, run
    kind = released if a.mode == "released" else fused
    passes, plain = (Passes(m, device, a.precision, longest) for m in (run, model))
    return model, kind.Steps(model, passes, plain, a.precision == "master")


def check_model():
    """The encoder against Transformers', padded and packed."""
    from transformers import RobertaConfig, RobertaForSequenceClassification
    layers, width, inner, heads, vocabulary = roberta.SIZES["check"]
    torch.manual_seed(1)
    other = RobertaForSequenceClassification(RobertaConfig(
        vocab_size=vocabulary, hidden_size=width, num_hidden_layers=layers, intermediate_size=inner,
        num_attention_heads=heads, max_position_embeddings=514, type_vocab_size=1,
        layer_norm_eps=1e-5)).eval()
    sizes = [5, 9, 3]
    padded = batches.Batch(sizes, vocabulary, False, 1, 1, False)
    inputs, _ = padded.to("cpu", 9)
    with torch.no_grad():
        expected = other(input_ids=inputs[0], attention_mask=(inputs[0] != 1).long()).logits
        for packed, attend in ((False, None), (False, roberta.by_hand), (True, roberta.by_samples)):
            model = roberta.Roberta("check", attend).eval()
            roberta.load_transformers(model, other)
            batch = batches.Batch(sizes, vocabulary, packed, 8 if packed else 1, 1, False)
            got = model(*batch.to("cpu", 9)[0])
            difference = ((got - expected).abs().max() / expected.abs().max()).item()
            print(f"{'packed' if packed else 'padded'}, {attend.__name__ if attend else 'sdpa'}: "
                  f"largest difference of logits, of the largest, {difference:.1e}")
            assert difference < 1e-5


def main():
    a = parse()
    if a.check_model:
        check_model()
        return
    report = Report(a)
    device = "cpu" if a.check else "cuda"
    report("machine", text=f"PyTorch {torch.__version__}" + (
        f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""))
    if device == "cuda" and not torch.cuda.is_available():
        report("absent", text="PyTorch sees no GPU: there is no peer")
    elif a.mode == "ceilings":
        ceilings(report, device, a.check)
    else:
        bench(report, a, device)


if __name__ == "__main__":
    main()
