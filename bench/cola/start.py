"""Gives a headless BERT checkpoint a random classification head, so that two programs start from
the same weights:  python3 bench/cola/start.py CHECKPOINT OUT SEED

Needs torch, transformers.
"""
import shutil
import sys
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification

source, out, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
torch.manual_seed(seed)
model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=2)
model.save_pretrained(out)
for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
    if (source / name).exists():
        shutil.copy(source / name, out / name)
