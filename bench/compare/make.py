"""What both sides of bench/compare work on: a model's folder with random weights, and batches.

    python3 make.py MODEL BATCH OUT

MODEL: bert-6-384, roberta-base or roberta-large. BATCH: cola (32 sentences as long as CoLA's),
8x128 or 8x512. Writes OUT/MODEL (a Hugging Face folder) and OUT/BATCH-MODEL.json, a list of
batches, each a list of {"ids", "label"}; what is there stays.
"""
import json
import os
import random
import sys

import torch
from transformers import AutoModelForSequenceClassification, BertConfig, RobertaConfig

# Tokens of 32 sentences: between 5 and 24, 11.4 on average, as in CoLA.
COLA = [9, 12, 7, 14, 10, 8, 17, 11, 6, 13, 9, 24, 10, 8, 12, 15, 7, 11, 9, 19, 10, 13, 5, 12, 8,
        16, 11, 9, 14, 10, 7, 19]
BATCHES = 8


def roberta(layers, width, heads):
    return RobertaConfig(vocab_size=50265, num_hidden_layers=layers, hidden_size=width,
                         intermediate_size=4 * width, num_attention_heads=heads,
                         max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5,
                         pad_token_id=1, bos_token_id=0, eos_token_id=2, num_labels=2)


MODELS = {
    "bert-6-384": lambda: BertConfig(vocab_size=30522, num_hidden_layers=6, hidden_size=384,
                                     intermediate_size=1536, num_attention_heads=12, num_labels=2),
    "roberta-base": lambda: roberta(12, 768, 12),
    "roberta-large": lambda: roberta(24, 1024, 16),
}


def batches(kind):
    draw = random.Random(1)
    made = []
    for _ in range(BATCHES):
        if kind == "cola":
            lengths = draw.sample(COLA, len(COLA))
        else:
            count, length = map(int, kind.split("x"))
            lengths = [length] * count
        made.append([{"ids": [5 + draw.randrange(20000) for _ in range(n)], "label": i % 2}
                     for i, n in enumerate(lengths)])
    return made


def main():
    name, kind, out = sys.argv[1:]
    folder, path = os.path.join(out, name), os.path.join(out, f"{kind}-{name}.json")
    if not os.path.exists(os.path.join(folder, "config.json")):
        torch.manual_seed(1)
        AutoModelForSequenceClassification.from_config(MODELS[name]()).save_pretrained(folder)
    if not os.path.exists(path):
        with open(path, "w", encoding="utf-8") as f:
            json.dump(batches(kind), f)


main()
