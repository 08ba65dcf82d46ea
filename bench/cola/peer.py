"""The peer of bench/cola: PyTorch and Transformers fine-tune the same checkpoint on the same
batches with AdamW, padded to each batch's longest, eager.

    python3 bench/cola/peer.py START DATA ORDER --seed 1 --precision fp32 --dropout 0.1 --out FILE

START: a folder with head (start.py). ORDER: from order.lua. Writes one JSON object: the loss of
every update, MCC and accuracy after every epoch, seconds per update (median). Needs torch,
transformers.
"""
import argparse
import contextlib
import json
import time

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def read(path):
    rows = []
    with open(path, encoding="utf-8") as f:
        for line in f.read().split("\n"):
            if line:
                columns = line.split("\t")
                rows.append((columns[3], int(columns[1])))
    return rows


def collate(tokenizer, rows):
    texts = [text for text, _ in rows]
    batch = tokenizer(texts, padding=True, truncation=False, return_tensors="pt")
    return batch, torch.tensor([label for _, label in rows])


def mcc(pairs):
    tp = sum(1 for p, y in pairs if p == 1 and y == 1)
    tn = sum(1 for p, y in pairs if p == 0 and y == 0)
    fp = sum(1 for p, y in pairs if p == 1 and y == 0)
    fn = sum(1 for p, y in pairs if p == 0 and y == 1)
    below = ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5
    return (tp * tn - fp * fn) / below if below else 0.0


def evaluate(model, tokenizer, dev, context):
    model.eval()
    pairs = []
    with torch.no_grad():
        for i in range(0, len(dev), 32):
            batch, labels = collate(tokenizer, dev[i:i + 32])
            with context():
                logits = model(**batch).logits
            pairs += list(zip(logits.argmax(-1).tolist(), labels.tolist()))
    return mcc(pairs), sum(p == y for p, y in pairs) / len(pairs)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("start")
    p.add_argument("data")
    p.add_argument("order")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    p.add_argument("--dropout", type=float, default=0.1)
    p.add_argument("--lr", type=float, default=5e-5)
    p.add_argument("--updates", type=int, default=0, help="stop after so many (0: all)")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--out", required=True)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    tokenizer = AutoTokenizer.from_pretrained(a.start)
    model = AutoModelForSequenceClassification.from_pretrained(
        a.start, hidden_dropout_prob=a.dropout, attention_probs_dropout_prob=a.dropout,
        classifier_dropout=a.dropout, dtype=torch.float32)
    train, dev = read(f"{a.data}/train.tsv"), read(f"{a.data}/dev.tsv")
    with open(a.order, encoding="utf-8") as f:
        epochs = json.load(f)["epochs"]
    total = sum(len(e) for e in epochs)
    warmup = int(0.06 * total)
    context = (lambda: torch.autocast("cpu", torch.bfloat16)) if a.precision == "bf16" \
        else contextlib.nullcontext
    optimizer = torch.optim.AdamW(model.parameters(), lr=a.lr, betas=(0.9, 0.999), eps=1e-8,
                                  weight_decay=0.01, fused=True)
    losses, metrics, seconds, n = [], [], [], 0
    for epoch in epochs:
        model.train()
        for rows in epoch:
            begin = time.perf_counter()
            lr = a.lr * (n / warmup if n < warmup else max(0.0, (total - n) / (total - warmup)))
            for group in optimizer.param_groups:
                group["lr"] = lr
            batch, labels = collate(tokenizer, [train[r] for r in rows])
            with context():
                loss = torch.nn.functional.cross_entropy(model(**batch).logits.float(), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            seconds.append(time.perf_counter() - begin)
            n += 1
            if a.updates and n >= a.updates:
                break
        if a.updates and n >= a.updates:
            break
        score, accuracy = evaluate(model, tokenizer, dev, context)
        metrics.append({"mcc": score, "accuracy": accuracy})
        print(f"epoch {len(metrics)}  loss {losses[-1]:.3f}  mcc {score:.4f}", flush=True)
    seconds.sort()
    with open(a.out, "w", encoding="utf-8") as f:
        json.dump({"seed": a.seed, "precision": a.precision, "losses": losses, "epochs": metrics,
                   "seconds_per_update": seconds[len(seconds) // 2], "torch": torch.__version__}, f)


if __name__ == "__main__":
    main()
