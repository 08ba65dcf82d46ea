"""Host batches of a shape, padded or packed, pinned where there is a GPU; a device's tensors."""
import json
import os

import torch

PAD = 1


def lengths(shape, check):
    """Lengths of the samples of each batch: the same as on fsam-lua's side."""
    if shape == "cola":
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lengths.json")
        with open(path, encoding="utf-8") as f:
            batches = json.load(f)
        return batches[:2] if check else batches
    count, length = (int(x) for x in shape.split("x"))
    return [[16] * 2 if check else [length] * count]


def round_up(n, to):
    return -(-n // to) * to


class Batch:
    """One batch in host memory. multiple: the padded length, or packed the number of rows, is a
    multiple of it."""

    def __init__(self, sizes, vocabulary, packed, multiple, seed, pin):
        generator = torch.Generator().manual_seed(seed)
        self.count, self.longest, self.tokens = len(sizes), max(sizes), sum(sizes)
        self.packed = packed  # then the rows that are left over are a last sample, never read
        rows = [torch.randint(5, vocabulary, (n,), generator=generator) for n in sizes]
        places = [torch.arange(2, n + 2) for n in sizes]
        if packed:
            self.padded = round_up(self.tokens + 1, multiple)
            rest = self.padded - self.tokens
            self.longest = max(self.longest, rest)
            tail = torch.full((rest,), PAD)
            starts = torch.tensor([0] + sizes + [rest]).cumsum(0).to(torch.int32)
            host = [torch.cat(rows + [tail]), torch.cat(places + [tail]), starts,
                    starts[:-2].long()]
        else:
            width = round_up(self.longest, multiple)
            self.padded = width * self.count
            host = [torch.full((self.count, width), PAD) for _ in range(2)]
            for i, n in enumerate(sizes):
                host[0][i, :n], host[1][i, :n] = rows[i], places[i]
            if self.padded > self.tokens:
                host.append((host[0] != PAD)[:, None, None, :])
        host.append(torch.arange(self.count) % 2)
        self.host = [x.pin_memory() if pin else x for x in host]

    def to(self, device, longest):
        """(arguments of Roberta.forward, labels). longest: the bound that packed attention gets."""
        on = [x.to(device, non_blocking=True) for x in self.host]
        if self.packed:
            return (on[0], on[1], (on[2], longest), on[3]), on[4]
        return (on[0], on[1], on[2] if len(on) == 4 else None, None), on[-1]


def make(shape, vocabulary, packed, multiple, check, pin):
    sizes = lengths(shape, check)
    return [Batch(s, vocabulary, packed, multiple, i, pin) for i, s in enumerate(sizes)]


def singles(shape, n, vocabulary, packed, multiple, check, pin):
    """Batches of one sample, as long as those of the first batch: for masks."""
    sizes = lengths(shape, check)[0]
    return [Batch([sizes[i % len(sizes)]], vocabulary, packed, multiple, 1000 + i, pin)
            for i in range(n)]
