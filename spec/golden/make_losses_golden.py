"""Writes losses.json: losses of single samples and gradients of their sum, from PyTorch in double.

    python spec/golden/make_losses_golden.py        # needs torch
"""
import json
import os

import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))


def numbers(tensor):
    return [float(x) for x in tensor.detach().reshape(-1)]


def case(name, logits, targets, loss):
    logits = logits.clone().requires_grad_()
    losses = loss(logits)
    losses.sum().backward()
    return {"name": name, "rows": logits.shape[0], "columns": logits.shape[1],
            "logits": numbers(logits), "targets": numbers(targets), "losses": numbers(losses),
            "gradient": numbers(logits.grad)}


def main():
    torch.manual_seed(1)
    cases = []
    for columns in (2, 5, 37):
        # Rounded to what f32 holds, so that both sides start from the same numbers.
        logits = (torch.randn(6, columns) * 3).double()
        weights = (torch.rand(columns) * 2 + 0.1).double()
        labels = torch.randint(columns, (6,))
        several = (torch.rand(6, columns) < 0.4).double()
        for smoothing in (0.0, 0.1):
            for w in (None, weights):
                c = case("weighted_cross_entropy", logits, labels, lambda x: F.cross_entropy(
                    x, labels, weight=w, label_smoothing=smoothing, reduction="none"))
                c["smoothing"], c["weights"] = smoothing, numbers(w) if w is not None else None
                cases.append(c)
        for w in (None, weights):
            c = case("binary_cross_entropy", logits, several,
                     lambda x: F.binary_cross_entropy_with_logits(
                         x, several, weight=w, reduction="none").mean(1))
            c["weights"] = numbers(w) if w is not None else None
            cases.append(c)
    with open(os.path.join(HERE, "losses.json"), "w") as out:
        json.dump(cases, out, indent=0)
        out.write("\n")


main()
