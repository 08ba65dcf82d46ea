"""Steps of AdamW under PyTorch's DistributedDataParallel with gloo, for bench/ranks/run: the work
of step.lua. The first process prints a line: seconds of the least step, and its peak memory in MB.

    torchrun --nproc-per-node 2 peer.py UPDATES ARCH
"""
import os
import resource
import sys
import time

import torch
import torch.distributed as dist
from transformers import RobertaConfig, RobertaForSequenceClassification

SAMPLES, WARM = 32, 2
LENGTHS = [9, 12, 7, 14, 10, 8, 17, 11, 6, 13, 9, 24, 10, 8, 12, 15, 7, 11, 9, 19, 10, 13, 5, 12,
           8, 16, 11, 9, 14, 10, 7, 19]
# width, layers, size of a head
SIZES = {"tiny": (128, 2, 32), "roberta_base": (768, 12, 64), "roberta_large": (1024, 24, 64)}


def batch_of(step, rank, ranks):
    each = SAMPLES // ranks
    numbers = range(rank * each + 1, (rank + 1) * each + 1)
    longest = max(LENGTHS[i % 32] for i in numbers)
    ids = torch.ones(each, longest, dtype=torch.long)
    for row, i in enumerate(numbers):
        count = LENGTHS[i % 32]
        ids[row, 0] = 0
        for k in range(2, count + 1):
            ids[row, k - 1] = 5 + ((SAMPLES * step + i) * 7919 + k * 104729) % 40000
    return {"input_ids": ids, "attention_mask": (ids != 1).long(),
            "labels": torch.tensor([i % 2 for i in numbers])}


def main():
    updates, (width, layers, head) = int(sys.argv[1]), SIZES[sys.argv[2]]
    torch.set_num_threads(1)
    torch.manual_seed(1)
    dist.init_process_group("gloo")
    rank, ranks = dist.get_rank(), dist.get_world_size()
    config = RobertaConfig(vocab_size=50265, hidden_size=width, num_hidden_layers=layers,
                           num_attention_heads=width // head, intermediate_size=4 * width,
                           max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5)
    model = torch.nn.parallel.DistributedDataParallel(RobertaForSequenceClassification(config))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.01)
    times = []
    for step in range(WARM + updates):
        batch = batch_of(step, rank, ranks)
        dist.barrier()
        began = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        model(**batch).loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - began)
    if rank == 0:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{min(times[WARM:]):.4f} {peak:.0f}", file=open(os.environ["FSAM_OUT"], "w"))
    dist.destroy_process_group()


main()
