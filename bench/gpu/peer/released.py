"""Steps as released optimizers take them (WHU-ZQH/FSAM4PLM, davda54/sam): loops over parameters,
weights cloned and restored, the Fisher mask by a sort of all values; AdamW one parameter at a time.
"""
import torch


class Steps:
    def __init__(self, model, passes, plain, _master, rho=0.05, keep=0.1):
        self.passes, self.plain = passes, plain
        self.rho, self.keep, self.mask = rho, keep, None
        self.params = list(model.parameters())
        self.adam = torch.optim.AdamW(self.params, lr=1e-5, betas=(0.9, 0.98), eps=1e-6,
                                      weight_decay=0.01, foreach=False, fused=False)

    def adam_step(self, batch):
        self.passes.run(batch)
        self.adam.step()
        self.adam.zero_grad()

    @torch.no_grad()
    def first_step(self):
        norm = torch.norm(torch.stack([p.grad.norm(p=2) for p in self.params]), p=2)
        scale = self.rho / (norm + 1e-12)
        old = []
        for i, p in enumerate(self.params):
            old.append(p.data.clone())
            e = p.grad * scale.to(p)
            if self.mask is not None:
                e.mul_(self.mask[i])
            p.add_(e)
        self.adam.zero_grad()
        return old

    def sam_step(self, batch):
        self.passes.run(batch)
        old = self.first_step()
        self.passes.run(batch)
        for p, w in zip(self.params, old):
            p.data = w
        self.adam.step()
        self.adam.zero_grad()

    fisher_sam_step = sam_step

    def refresh(self, singles):
        fisher = [torch.zeros_like(p) for p in self.params]
        for batch in singles:
            self.plain.run(batch)
            for f, p in zip(fisher, self.params):
                f += torch.square(p.grad).data
            self.adam.zero_grad()
        flat = torch.cat([f.flatten() for f in fisher])
        order = torch.sort(flat, descending=True)[1]
        mask = torch.zeros_like(flat)
        mask[order[:int(self.keep * flat.numel())]] = 1
        self.mask = [m.view(p.shape) for m, p in
                     zip(torch.split(mask, [p.numel() for p in self.params]), self.params)]
