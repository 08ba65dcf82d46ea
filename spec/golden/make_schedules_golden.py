"""Golden values for spec/lua/train/schedule_spec.lua: learning rates as fairseq's own schedulers set
them, update by update, in the order of calls of fairseq's trainer.

    python3 spec/golden/make_schedules_golden.py FAIRSEQ > spec/golden/schedules.json

FAIRSEQ is a checkout of fairseq (made with 3d262bb). Its scheduler files are loaded alone, with
stand-ins for the rest of the package; PyTorch, for ReduceLROnPlateau, is the only thing needed.
"""

import argparse
import importlib.util
import json
import sys
import types

import torch

CHECKOUT = sys.argv[1] + "/fairseq/optim/lr_scheduler/"


def module(name, **members):
    m = types.ModuleType(name)
    m.__dict__.update(members)
    sys.modules[name] = m
    return m


class Optimizer:
    """What a scheduler sees of fairseq's optimizer: one rate, kept in PyTorch's."""

    def __init__(self):
        self.optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)

    def set_lr(self, lr):
        self.optimizer.param_groups[0]["lr"] = lr

    def get_lr(self):
        return self.optimizer.param_groups[0]["lr"]


KINDS = {}


def register(name, dataclass=None):
    def add(cls):
        KINDS[name] = cls, dataclass
        return cls

    return add


def load(file):
    spec = importlib.util.spec_from_file_location("fairseq.optim.lr_scheduler." + file,
                                                  CHECKOUT + file + ".py")
    m = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(m)
    return m


module("omegaconf", II=lambda name: None)
module("fairseq")
module("fairseq.dataclass", FairseqDataclass=object)
module("fairseq.dataclass.utils", gen_parser_from_dataclass=None)
module("fairseq.optim", FairseqOptimizer=Optimizer)
base = load("fairseq_lr_scheduler")
module("fairseq.optim.lr_scheduler", FairseqLRScheduler=base.FairseqLRScheduler,
       LegacyFairseqLRScheduler=base.LegacyFairseqLRScheduler, register_lr_scheduler=register)
for file in ["cosine_lr_scheduler", "fixed_schedule", "inverse_square_root_schedule",
             "manual_lr_scheduler", "polynomial_decay_schedule", "reduce_lr_on_plateau",
             "step_lr_scheduler", "tri_stage_lr_scheduler", "triangular_lr_scheduler"]:
    load(file)


def rates(name, o, epochs, steps, values):
    """The rate of each update, with the trainer's calls around it."""
    cls, dataclass = KINDS[name]
    cfg = argparse.Namespace()
    for field, f in getattr(dataclass, "__dataclass_fields__", {}).items():
        setattr(cfg, field, f.default)
    for key, value in o.items():
        setattr(cfg, key, value)
    optimizer, n, list_of_rates = Optimizer(), 0, []
    scheduler = cls(cfg, optimizer)

    def step_update():
        scheduler.step_update(n)

    scheduler.step(1, None)  # when the checkpoint is loaded
    step_update()
    for epoch in range(1, epochs + 1):
        scheduler.step_begin_epoch(epoch)
        step_update()
        for _ in range(steps):
            list_of_rates.append(optimizer.get_lr())
            n += 1
            step_update()
        scheduler.step(epoch, values[epoch - 1] if values else None)
        step_update()
    return list_of_rates


# name, options as fairseq has them, epochs, updates per epoch, validations' values.
CASES = [
    ["polynomial_decay", dict(lr=[1e-5], warmup_updates=160, total_num_update=2668), 10, 268],
    ["polynomial_decay", dict(lr=[3e-5], warmup_updates=0, total_num_update=50, power=2.0,
                              end_learning_rate=1e-6), 6, 10],
    ["polynomial_decay", dict(lr=[3e-5], warmup_updates=7, total_num_update=61, power=0.7), 5, 13],
    ["polynomial_decay", dict(lr=[1e-5, 3e-5, 2e-5], warmup_updates=13, total_num_update=57), 5, 12],
    ["polynomial_decay", dict(lr=[3e-5], warmup_updates=5, total_num_update=70, force_anneal=3), 6, 11],
    ["fixed", dict(lr=[1e-5], warmup_updates=7), 3, 10],
    ["fixed", dict(lr=[1e-5, 3e-5, 7e-6], warmup_updates=13), 5, 9],
    ["fixed", dict(lr=[1e-5, 3e-5], force_anneal=3, lr_shrink=0.3), 6, 5],
    ["inverse_sqrt", dict(lr=[7e-4], warmup_updates=9), 5, 40],
    ["inverse_sqrt", dict(lr=[7e-4], warmup_updates=9, warmup_init_lr=1e-7), 2, 20],
    ["cosine", dict(lr=[3e-4], warmup_updates=6, max_update=60), 6, 11],
    ["cosine", dict(lr=[3e-4], warmup_updates=3, min_lr=1e-5, max_update=80, lr_period_updates=17,
                    lr_shrink=0.7), 8, 10],
    ["cosine", dict(lr=[3e-4], warmup_updates=4, warmup_init_lr=1e-6, min_lr=1e-6, max_update=90,
                    lr_period_updates=11, t_mult=1.7, lr_shrink=0.5), 9, 10],
    ["triangular", dict(lr=[1e-6], max_lr=1e-3, lr_period_updates=22.0, lr_shrink=0.4), 6, 12],
    ["triangular", dict(lr=[1e-6], max_lr=1e-3, lr_period_updates=15.0, shrink_min=True), 5, 10],
    ["tri_stage", dict(lr=[5e-5], warmup_steps=7, hold_steps=11, decay_steps=23), 5, 10],
    ["tri_stage", dict(lr=[5e-5], phase_ratio=(0.1, 0.4, 0.5), init_lr_scale=0.05, final_lr_scale=0.02,
                       max_update=55), 6, 10],
    ["step", dict(lr=[5e-5], warmup_updates=5, lr_deacy_period=9, lr_decay=0.6, min_lr=9e-6), 6, 10],
    ["step", dict(lr=[5e-5], warmup_updates=4, warmup_init_lr=1e-6, lr_deacy_period=7), 5, 10],
    ["reduce_lr_on_plateau", dict(lr=[5e-5], lr_shrink=0.3, maximize_best_checkpoint_metric=True), 8, 3,
     [68.1, 70.2, 70.2, 70.2, 71.0, 71.0, 69.9, 72.4]],
    ["reduce_lr_on_plateau", dict(lr=[5e-5], warmup_updates=7, lr_patience=1, lr_threshold=0.01,
                                  maximize_best_checkpoint_metric=False), 8, 4,
     [0.912, 0.911, 0.83, 0.829, 0.828, 0.827, 0.7, 0.699]],
    ["manual", dict(lr=[1e-5], epoch2lr="{'1-2':2e-5,'4':3e-6}", update2lr="{}"), 5, 4],
    ["manual", dict(lr=[1e-5], epoch2lr="{}", update2lr="{'3-5':2e-5,'7,9':3e-6,'8':1e-6}"), 3, 5],
    ["manual", dict(lr=[1e-5], epoch2lr="{'2':5e-5}", update2lr="{\"12\":1e-6}"), 4, 4],
]

lines = []
for name, o, epochs, steps, *values in CASES:
    values = values[0] if values else None
    list_of_rates = rates(name, o, epochs, steps, values)
    # Of the long run, every update of the warm-up's end and then each 37th.
    shown = list(range(len(list_of_rates)))
    if len(shown) > 1000:
        shown = [n for n in shown if n < 4 or 150 < n < 170 or n % 37 == 0 or n > 2660]
    case = {"name": name, "options": o, "epochs": epochs, "steps": steps,
            "values": values or [], "updates": shown if len(shown) < len(list_of_rates) else [],
            "rates": [list_of_rates[n] for n in shown]}
    lines.append(json.dumps(case))
print("[\n" + ",\n".join(lines) + "\n]")
