"""Opens a folder that fsam-lua saved in Transformers and compares logits on a few sentences:

    python3 bench/cola/reload.py build/fsam-lua runs/cola-1/checkpoint_best

Needs torch, transformers. Prints the largest difference, relative to the largest logit.
"""
import subprocess
import sys

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

SENTENCES = ["the keys near the cabinet laugh", "these key is lost", "no one has ever laughed",
             "the letters that the friend likes are lost", "what did the boys say that she read"]
SCRIPT = """
local m = fsam.load(arg[1])
for line in io.stdin:lines() do
  print(("%.9g %.9g"):format(unpack(m:predict(line).logits)))
end
"""


def main():
    program, folder = sys.argv[1], sys.argv[2]
    script = f"fsam = require 'fsam'; arg = {{'{folder}'}}" + SCRIPT
    ours = subprocess.run([program, "-e", script], input="\n".join(SENTENCES) + "\n",
                          capture_output=True, text=True, check=True).stdout
    mine = torch.tensor([[float(x) for x in line.split()] for line in ours.splitlines()])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        theirs = torch.cat([model(**tokenizer(s, return_tensors="pt")).logits for s in SENTENCES])
    worst = ((mine - theirs).abs().max() / theirs.abs().max()).item()
    print(f"{len(SENTENCES)} sentences, labels {model.config.id2label}: "
          f"largest difference {worst:.2g}")


if __name__ == "__main__":
    main()
