"""Checks and prints what bench/compare/run has written.

    python3 table.py check OURS.json PEER.json PRECISION    fails where the losses differ
    python3 table.py print OUT                              the table, Markdown

A fisher-sam step is the mean of an interval: (the step that makes a mask + 99 others) / 100. A
sorted order's step is the mean over all its batches, else it is the median.
"""
import glob
import json
import os
import statistics
import sys

INTERVAL = 100
TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2}
PASSES = {"adam": 1, "sam": 2, "fisher-sam": 2}


def read(path):
    with open(path, encoding="utf-8") as f:
        return json.loads(f.read().strip().split("\n")[-1])


def check(ours, peer, precision):
    a, b = read(ours)["loss"], read(peer)["loss"]
    if not abs(a - b) <= TOLERANCE[precision] * abs(b):
        sys.exit(f"the losses differ: ours {a:.7f}, the peer's {b:.7f}; nothing is timed")


def step(result, order):
    mean = order == "sorted"
    seconds = (statistics.mean if mean else statistics.median)(result["seconds"])
    if result.get("mask"):
        seconds = (result["mask"] + (INTERVAL - 1) * seconds) / INTERVAL
    return seconds


def processor(result):
    """Seconds of the processor for a step that makes no mask, the mean: on a machine that does
    other work too these say more than seconds."""
    return result["processor"] / len(result["seconds"])


def rows(out):
    """(model, batch, optimizer, precision) → variant of the peer → pairs (ours, theirs)."""
    found = {}
    for path in sorted(glob.glob(os.path.join(out, "rows", "*", "*-peer.json"))):
        row = tuple(os.path.basename(os.path.dirname(path)).split(","))
        pair, order, compiled, _ = os.path.basename(path).split("-")
        ours = os.path.join(os.path.dirname(path), f"{pair}-ours.json")
        if os.path.getsize(path) and os.path.exists(ours) and os.path.getsize(ours):
            found.setdefault(row, {}).setdefault((order, compiled), []).append(
                (read(ours), read(path)))
    return found


def show(out):
    print("| model | batch | optimizer | precision | PyTorch | ours, s | theirs, s | ratio | range "
          "| by processor time | peak ours, MB | theirs, MB | floor, s | ours of it |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    for row, variants in sorted(rows(out).items()):
        floor_path = os.path.join(out, "rows", ",".join(row), "floor.json")
        floor = os.path.exists(floor_path) and os.path.getsize(floor_path) and read(floor_path)
        timed = {v: statistics.median(step(p, v[0]) for _, p in pairs)
                 for v, pairs in variants.items()}
        best = {order: min((v for v in timed if v[0] == order), key=timed.get, default=None)
                for order in ("training", "sorted")}
        for variant, pairs in sorted(variants.items()):
            ours = [step(o, "training") for o, _ in pairs]
            ratios = [step(p, variant[0]) / o for (_, p), o in zip(pairs, ours)]
            mine = statistics.median(ours)
            least = floor and floor["seconds"][0] * PASSES[row[2]]
            mark = " (best)" if variant in best.values() else ""
            print("| " + " | ".join([
                *row, ", ".join(variant) + mark, f"{mine:.3f}", f"{timed[variant]:.3f}",
                f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}",
                f"{statistics.median(processor(p) / processor(o) for o, p in pairs):.2f}",
                f"{max(o['peak'] for o, _ in pairs):.0f}",
                f"{max(p['peak'] for _, p in pairs):.0f}",
                f"{least:.3f}" if least else "", f"{mine / least:.2f}" if least else ""]) + " |")


if sys.argv[1] == "check":
    check(*sys.argv[2:])
else:
    show(sys.argv[2])
