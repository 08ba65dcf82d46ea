"""Steps of adam, sam, esam and fisher-sam in PyTorch's best dress: fused AdamW, perturbations by
foreach ops, the Fisher mask by topk. Nothing here waits for the device but esam's choice.

With `master` the model is bf16 (LayerNorm too) and f32 master weights are what AdamW updates; the
perturbed copy is made from them, so that nothing need be restored. Without, the weights are f32 and
passes run under autocast or in f32; the perturbation is added and taken away again.
"""
import random

import torch


class Steps:
    """passes: of the model that is measured; plain: not compiled, for masks' single samples."""

    def __init__(self, model, passes, plain, master, rho=0.05, keep=0.1):
        self.passes, self.plain = passes, plain
        self.rho, self.keep, self.mask = rho, keep, None
        self.params = list(model.parameters())
        self.master = [p.detach().float() for p in self.params] if master else None
        held = self.master or self.params
        self.g = [torch.empty_like(p) for p in held] if master else None
        fused = held[0].is_cuda or None
        self.adam = torch.optim.AdamW(held, lr=1e-5, betas=(0.9, 0.98), eps=1e-6,
                                      weight_decay=0.01, fused=fused)
        self.random = random.Random(1)

    @torch.no_grad()
    def gradients(self):
        """f32 gradients of the last pass."""
        grads = [p.grad for p in self.params]
        if self.master is None:
            return grads
        torch._foreach_copy_(self.g, grads)
        return self.g

    def clear(self):
        for p in self.params:
            p.grad = None

    @torch.no_grad()
    def update(self):
        grads = self.gradients()
        if self.master is not None:
            for p, g in zip(self.master, grads):
                p.grad = g
        self.adam.step()
        if self.master is not None:
            torch._foreach_copy_(self.params, self.master)
        self.clear()

    def adam_step(self, batch):
        self.passes.run(batch)
        self.update()

    @torch.no_grad()
    def perturb(self, chosen=None, share=1.0):
        """Weights + rho g / |g| (over the chosen ones, if given), masked; returns what to take away
        again, or None with a master."""
        indices = range(len(self.params)) if chosen is None else chosen
        params = [self.params[i] for i in indices]
        grads = [p.grad for p in params]
        e = grads
        if self.master is not None:
            e = [self.g[i] for i in indices]
            torch._foreach_copy_(e, grads)
        scale = self.rho / share / torch.linalg.vector_norm(torch.stack(torch._foreach_norm(e)))
        if self.master is not None:
            torch._foreach_mul_(e, scale)
        else:  # memory of its own: the gradients' may belong to a CUDA graph
            e = torch._foreach_mul(e, scale)
        if self.mask is not None:
            torch._foreach_mul_(e, [self.mask[i] for i in indices])
        if self.master is None:
            torch._foreach_add_(params, e)
        else:
            torch._foreach_add_(e, [self.master[i] for i in indices])
            torch._foreach_copy_(params, e)
            e = None
        self.clear()
        return params, e

    @torch.no_grad()
    def restore(self, params, e):
        if e is not None:
            torch._foreach_sub_(params, e)

    def sam_step(self, batch):
        self.passes.run(batch)
        moved = self.perturb()
        self.passes.run(batch)
        self.restore(*moved)
        self.update()

    fisher_sam_step = sam_step

    def refresh(self, singles):
        """A mask from the sum of squared gradients of single samples."""
        fisher = [torch.zeros_like(p, dtype=torch.float32) for p in self.params]
        for batch in singles:
            self.plain.run(batch)
            grads = self.gradients()
            with torch.no_grad():
                torch._foreach_addcmul_(fisher, grads, grads)
            self.clear()
        flat = torch.cat([f.flatten() for f in fisher])
        del fisher
        chosen = torch.topk(flat, int(self.keep * flat.numel()), sorted=False).indices
        flat.zero_().index_fill_(0, chosen, 1.0)
        sizes = [p.numel() for p in self.params]
        self.mask = [m.view_as(p) for m, p in zip(flat.split(sizes), self.params)]

    def esam_step(self, batch):
        """beta = gamma = 0.5: half of the tensors are perturbed, the others' gradients left out;
        the half of the samples whose loss rises most has the second pass."""
        chosen = [i for i in range(len(self.params)) if self.random.random() < 0.5] or [0]
        wanted = set(chosen)
        for i, p in enumerate(self.params):
            p.requires_grad_(i in wanted)
        before = self.passes.run(batch)
        for p in self.params:
            p.requires_grad_(True)
        moved = self.perturb(chosen, 0.5)
        with torch.no_grad():
            after = self.passes.losses(batch)
        rise = (after - before.detach())
        self.passes.run(batch, torch.topk(rise, max(1, rise.numel() // 2)).indices)
        self.restore(*moved)
        self.update()
