"""What bench/predict/run needs of Python: data sets made by a seed, and Transformers' answers.

    peer.py make OUT                   OUT/several.{train,dev}.jsonl, OUT/rare.{train,dev}.csv
    peer.py compare NAME OUT [TEST]    OUT/NAME.jsonl, which recipes/predict.lua wrote, against the
                                       model in OUT/runs/NAME; with TEST, the file of texts, also
                                       the format of OUT/NAME.server.tsv
"""
import csv
import json
import os
import random
import sys

TOPICS = {
    "animals": ["the dog chased a cat", "two horses stood still", "a bird sang", "the fish swam"],
    "food": ["she baked fresh bread", "he ate an apple", "the soup was cold", "they cooked rice"],
    "money": ["the price went up", "he paid in cash", "the bank closed", "she owed him a coin"],
    "weather": ["it rained all day", "the wind was strong", "snow fell", "the sun came out"],
}
# Kinds of reports, how often each is met, and what is said.
KINDS = {
    "calm": (0.90, ["all was quiet", "nothing moved", "a slow day", "no one called"]),
    "storm": (0.07, ["roofs flew off", "the wind tore trees out", "lightning hit a barn"]),
    "quake": (0.03, ["the ground shook", "walls cracked", "the earth moved under us"]),
}
PLACES = ["in the north", "by the lake", "near the station", "on the hill", "at home", "in town"]


def several(rng):
    topics = rng.sample(sorted(TOPICS), rng.randrange(4))
    parts = [rng.choice(TOPICS[t]) for t in topics] or ["no one said a word"]
    return {"text": ", and ".join(parts) + " " + rng.choice(PLACES) + ".", "labels": topics}


def rare(rng):
    kind = rng.choices(list(KINDS), [share for share, _ in KINDS.values()])[0]
    return [rng.choice(KINDS[kind][1]) + " " + rng.choice(PLACES) + ".", kind]


def make(out):
    rng = random.Random(1)
    for split, count in (("train", 800), ("dev", 200)):
        with open(f"{out}/several.{split}.jsonl", "w") as file:
            for _ in range(count):
                print(json.dumps(several(rng)), file=file)
        with open(f"{out}/rare.{split}.csv", "w", newline="") as file:
            csv.writer(file).writerows([["text", "label"]] + [rare(rng) for _ in range(count)])


def transformers_logits(folder, samples):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.set_num_threads(int(os.environ.get("THREADS", "1")))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    order = sorted(range(len(samples)), key=lambda i: len(samples[i]["text"]))
    logits = [None] * len(samples)
    with torch.no_grad():
        for first in range(0, len(order), 16):
            part = [samples[i] for i in order[first:first + 16]]
            pairs = [s.get("text_pair") for s in part]
            batch = tokenizer([s["text"] for s in part], pairs if pairs[0] is not None else None,
                              padding=True, truncation=True, return_tensors="pt")
            for i, row in zip(order[first:first + 16], model(**batch).logits):
                logits[i] = row.double()
    return torch.stack(logits), model.config


def probabilities_of(logits, config):
    if config.problem_type == "regression":
        return None
    if config.problem_type == "multi_label_classification":
        return logits.sigmoid()
    return logits.softmax(-1)


def server_fault(path, test, task):
    """None, or what GLUE's server would not take: its columns, an index from 0, and a word of the
    task, or a score from 0 to 5, for each text of the file."""
    words = {"cola": {"0", "1"}, "rte": {"entailment", "not_entailment"}}.get(task)
    rows = [line.split("\t") for line in open(path, encoding="utf-8").read().splitlines()]
    texts = sum(1 for line in open(test, encoding="utf-8") if line.strip()) - 1
    if rows[0] != ["index", "prediction"]:
        return "header"
    if [row[0] for row in rows[1:]] != [str(i) for i in range(texts)]:
        return "index"
    good = all(len(row) == 2 and (row[1] in words if words else 0 <= float(row[1]) <= 5)
               for row in rows[1:])
    return None if good else "prediction"


def compare(name, out, test=None):
    import torch

    answers = [json.loads(line) for line in open(f"{out}/{name}.jsonl", encoding="utf-8")]
    ours = torch.tensor([a["logits"] for a in answers], dtype=torch.float64)
    theirs, config = transformers_logits(f"{out}/runs/{name}/checkpoint_best", answers)
    far = (ours - theirs).abs().max().item()
    chances, wide = probabilities_of(theirs, config), 0.0
    if chances is not None:
        labels = [config.id2label[i] for i in range(config.num_labels)]
        mine = torch.tensor([[a["probabilities"][label] for label in labels] for a in answers],
                            dtype=torch.float64)
        wide = (mine - chances).abs().max().item()
    fault = server_fault(f"{out}/{name}.server.tsv", test, name) if test else None
    best = json.load(open(f"{out}/runs/{name}/results.json"))["best"]
    shown = ", ".join(f"{key} {value:.3f}" for key, value in sorted(best.items())
                      if isinstance(value, float))
    print(f"| {name} | {shown} | {len(answers)} | {theirs.abs().max().item():.2f} | {far:.1e} | "
          f"{'' if chances is None else f'{wide:.1e}'} | "
          f"{'' if not test else fault or 'as it should be'} |", flush=True)
    if not (far <= 1e-4 and wide <= 1e-4 and not fault):
        sys.exit(f"{name}: the answers differ")


if __name__ == "__main__":
    {"make": make, "compare": compare}[sys.argv[1]](*sys.argv[2:])
