"""Writes ranks_order.json: which samples each of several processes trains in which step.

    python make_ranks_order.py FOLDER     # where fairseq 0.12's fairseq/data/iterators.py lies

fairseq's own EpochBatchIterator and GroupedIterator make the order, as its sentence_prediction
task and trainer call them. Its library is not needed, only this one file (with torch and numpy).
One case: [samples, batch size, seed, processes, update-freq, epochs], and an epoch is a list of
steps, a step a list of processes, a process a list of batches of samples (from 0).
"""
import contextlib
import importlib.util
import json
import pathlib
import sys
import types

import numpy as np
import torch


@contextlib.contextmanager
def numpy_seed(seed):
    state = np.random.get_state()
    np.random.seed(seed)
    yield
    np.random.set_state(state)


def load_iterators(folder):
    data_utils = types.ModuleType("fairseq.data.data_utils")
    data_utils.numpy_seed = numpy_seed
    data = types.ModuleType("fairseq.data")
    data.data_utils = data_utils
    sys.modules.update({"fairseq": types.ModuleType("fairseq"), "fairseq.data": data,
                        "fairseq.data.data_utils": data_utils})
    path = pathlib.Path(folder) / "fairseq/data/iterators.py"
    spec = importlib.util.spec_from_file_location("iterators", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Samples(torch.utils.data.Dataset):
    """Sample numbers, as a data set; nothing is collated."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        return i

    def set_epoch(self, epoch):
        pass


def steps_of(iterators, case, rank):
    count, size, seed, ranks, update_freq, epochs = case
    with numpy_seed(seed):
        order = np.argsort(np.random.permutation(count))
    frozen = [[int(i) for i in order[at:at + size]] for at in range(0, count, size)]
    epoch_itr = iterators.EpochBatchIterator(
        dataset=Samples(count), collate_fn=list, batch_sampler=frozen, seed=seed,
        num_shards=ranks, shard_id=rank, num_workers=0, epoch=1)
    out = []
    for _ in range(epochs):
        itr = epoch_itr.next_epoch_itr(shuffle=True)
        steps = iterators.GroupedIterator(itr, update_freq)
        out.append([[batch for batch in step if batch] for step in steps])
    return out


CASES = [(23, 3, 1, 2, 1, 2), (23, 3, 1, 3, 1, 2), (40, 4, 7, 2, 3, 2), (31, 2, 5, 3, 2, 3),
         (7, 3, 2, 3, 2, 1), (30, 5, 11, 2, 2, 2)]


def main():
    iterators = load_iterators(sys.argv[1])
    lines = []
    for case in CASES:
        by_rank = [steps_of(iterators, case, rank) for rank in range(case[3])]
        epochs = [list(zip(*steps)) for steps in zip(*by_rank)]
        lines.append(json.dumps([*case, epochs], separators=(",", ":")))
    text = "[" + ",\n".join(lines) + "]\n"
    pathlib.Path(__file__).with_name("ranks_order.json").write_text(text)


if __name__ == "__main__":
    main()
