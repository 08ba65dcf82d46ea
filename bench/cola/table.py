"""Prints what bench/cola/run measured, as Markdown:  python3 bench/cola/table.py OUT"""
import glob
import json
import os
import statistics
import sys

NAMES = ["peer-fp32", "adam-fp32", "peer-bf16", "adam-bf16", "sam-bf16", "fisher-sam-bf16"]


def ours(folder):
    """Losses of all updates, metrics after the last epoch, median seconds of an update."""
    losses, last, seconds = [], None, []
    with open(os.path.join(folder, "train.log"), encoding="utf-8") as f:
        for line in f:
            event = json.loads(line)
            if event.get("event") == "step":
                losses.append(event["loss"])
                seconds.append(event["seconds"])
    with open(os.path.join(folder, "results.json"), encoding="utf-8") as f:
        last = json.load(f)["last"]
    return losses, last, statistics.median(seconds)


def read(out, name):
    rows = {}
    for path in sorted(glob.glob(os.path.join(out, name + "-[0-9]*"))):
        seed = path.rsplit("-", 1)[1].split(".")[0]
        if path.endswith(".json"):
            with open(path, encoding="utf-8") as f:
                run = json.load(f)
            rows[seed] = (run["epochs"][-1]["mcc"], run["seconds_per_update"])
        elif os.path.exists(os.path.join(path, "results.json")):
            _, last, seconds = ours(path)
            rows[seed] = (last["mcc"], seconds)
    return rows


def parity(out):
    peer, folder = os.path.join(out, "parity-peer-1.json"), os.path.join(out, "parity-1")
    if os.path.exists(peer) and os.path.exists(os.path.join(folder, "results.json")):
        with open(peer, encoding="utf-8") as f:
            theirs = json.load(f)["losses"]
        mine = ours(folder)[0]
        worst = max(abs(a - b) for a, b in zip(theirs, mine))
        print(f"Losses of {len(mine)} updates, dropout 0, f32: largest difference {worst:.2g}.\n")


def main():
    out = sys.argv[1]
    parity(out)
    print("| run | " + " | ".join(f"seed {s}" for s in "12345") + " | mean | s | ms/update |")
    print("|---" * 9 + "|")
    summary = {}
    for name in NAMES:
        rows = read(out, name)
        if not rows:
            continue
        scores = [rows[s][0] for s in sorted(rows)]
        deviation = statistics.stdev(scores) if len(scores) > 1 else float("nan")
        summary[name] = (statistics.mean(scores), deviation, len(scores))
        cells = [f"{rows[s][0]:.4f}" if s in rows else "" for s in "12345"]
        speed = statistics.median(r[1] for r in rows.values()) * 1000
        print(f"| {name} | " + " | ".join(cells)
              + f" | {summary[name][0]:.4f} | {deviation:.4f} | {speed:.0f} |")
    for precision in ("fp32", "bf16"):
        a, b = summary.get("peer-" + precision), summary.get("adam-" + precision)
        if a and b and a[2] > 1 and b[2] > 1:
            bound = 2 * (a[1] ** 2 / a[2] + b[1] ** 2 / b[2]) ** 0.5
            print(f"\n{precision}: |difference of means| {abs(a[0] - b[0]):.4f}, allowed "
                  f"{min(bound, 0.03):.4f} (2 standard errors {bound:.4f}, at most 0.03).")


if __name__ == "__main__":
    main()
