"""The largest tenth of N values by torch.topk, for bench/select/run: for every line of standard
input one selection, in the order that the line names ("sorted", torch's default, or "unsorted").

    python peer.py N
"""
import sys
import time

import torch

count = int(sys.argv[1])
values = torch.randn(count, generator=torch.Generator().manual_seed(1)).abs()
torch.topk(values, count // 10)
print("ready", flush=True)
for line in sys.stdin:
    began = time.perf_counter()
    torch.topk(values, count // 10, sorted=line.strip() == "sorted")
    print(time.perf_counter() - began, flush=True)
