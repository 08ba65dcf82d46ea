"""Writes the PyTorch files of spec/lua/formats/pytorch_spec.lua.

    python3 spec/golden/make_pytorch.py      (needs torch, numpy, safetensors; omegaconf too with
                                              `settings` behind it, which makes that file alone)

fairseq_old.pt  spec/golden/roberta_small as a checkpoint of fairseq with its first names, in the format
                before PyTorch 1.6. fairseq has no token types, so their row is added to the positions.
values.pt       every number type, views, shared storages, and the containers beside the tensors
settings_V.pt   arguments as fairseq has them in memory, of OmegaConf's version V: 2.0 is the last
                that fairseq takes
hostile.pt      a state dict, and beside it objects whose loading would run a command
"""
import argparse
import collections
import os
import sys

import numpy
import torch
from safetensors.torch import load_file

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "pytorch")


def fairseq_old():
    hf = load_file(os.path.join(HERE, "roberta_small", "model.safetensors"))
    out = collections.OrderedDict()
    body = "decoder.sentence_encoder."
    e = "roberta.embeddings."
    out[body + "embed_tokens.weight"] = hf[e + "word_embeddings.weight"]
    out[body + "embed_positions.weight"] = (hf[e + "position_embeddings.weight"]
                                            + hf[e + "token_type_embeddings.weight"][0])
    for last in ("weight", "bias"):
        out[body + "emb_layer_norm." + last] = hf[e + "LayerNorm." + last]
        layer, theirs = "roberta.encoder.layer.0.", body + "layers.0."
        out[theirs + "self_attn.in_proj_" + last] = torch.cat(
            [hf[layer + f"attention.self.{p}.{last}"] for p in ("query", "key", "value")])
        for a, b in (("self_attn.out_proj", "attention.output.dense"),
                     ("layer_norms.0", "attention.output.LayerNorm"), ("fc1", "intermediate.dense"),
                     ("fc2", "output.dense"), ("layer_norms.1", "output.LayerNorm")):
            out[theirs + f"{a}.{last}"] = hf[layer + f"{b}.{last}"]
        for part in ("dense", "out_proj"):
            out[f"classification_heads.mnli.{part}.{last}"] = hf[f"classifier.{part}.{last}"]
    out[body + "version"] = torch.zeros(3)
    out["decoder.lm_head.weight"] = out[body + "embed_tokens.weight"]
    args = argparse.Namespace(arch="roberta_base", encoder_layers=1, encoder_embed_dim=64,
                              encoder_ffn_embed_dim=96, encoder_attention_heads=2, dropout=0.2,
                              attention_dropout=0.1, activation_fn="gelu", lr=[1e-05])
    torch.save({"args": args, "model": out, "extra_state": {"val_loss": 0.5}},
               os.path.join(OUT, "fairseq_old.pt"), _use_new_zipfile_serialization=False)


def values():
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    state = collections.OrderedDict(
        base=base, transposed=base.t(), columns=base[:, 1:6:2], rows=base[2:], tied=base,
        repeated=torch.tensor([7.0]).expand(3), empty=torch.zeros(0, 3), scalar=torch.tensor(2.5),
        f64=torch.tensor([-0.25, 4], dtype=torch.float64), f16=torch.tensor([1.5, -2]).half(),
        bf16=torch.tensor([1.0, -2]).bfloat16(), i64=torch.tensor([-5, 9]),
        i32=torch.tensor([-7, 8], dtype=torch.int32), i16=torch.tensor([-3, 1], dtype=torch.int16),
        i8=torch.tensor([-128, 127], dtype=torch.int8), u8=torch.tensor([255, 3], dtype=torch.uint8),
        bool=torch.tensor([True, False]), i16_columns=torch.arange(6).short().reshape(2, 3).t(),
        parameter=torch.nn.Parameter(torch.tensor([3.0])))
    state._metadata = {"": {"version": 1}}
    cycle = []
    cycle.append(cycle)
    beside = {"model": state, "cycle": cycle, "numpy": numpy.float64(0.5), "whole": numpy.int64(-3),
              "bytes": b"\xff\x00a", "big": 2 ** 70, "negative": -(2 ** 40), "none": None,
              "nan": float("nan"), "set": {1}, "args": argparse.Namespace(lr=[1e-05], name="é")}
    for protocol in (2, 4, 5):
        torch.save(beside, os.path.join(OUT, f"values_{protocol}.pt"), pickle_protocol=protocol)
    torch.save(beside, os.path.join(OUT, "values_legacy.pt"), _use_new_zipfile_serialization=False)


def settings():
    import omegaconf

    made = omegaconf.OmegaConf.create({
        "_name": None, "common": {"seed": 3, "user_dir": "???", "log_file": "${common.seed}"},
        "model": {"_name": "roberta_base", "encoder_layers": 1, "encoder_embed_dim": 64,
                  "encoder_ffn_embed_dim": 96, "encoder_attention_heads": 2, "dropout": 0.25,
                  "activation_fn": "gelu", "layers_to_keep": None, "betas": [0.9, 0.98]},
        "task": {"_name": "sentence_prediction", "regression_target": False}})
    version = ".".join(omegaconf.__version__.split(".")[:2])
    torch.save({"args": None, "cfg": made, "model": {"w": torch.tensor([1.0])}},
               os.path.join(OUT, f"settings_{version}.pt"))


class Runs:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def hostile():
    mark = "/tmp/fsam_pickle_ran"
    torch.save({"model": {"w": torch.tensor([1.0])}, "x": Runs(os.system, "touch " + mark),
                "y": Runs(eval, f"open({mark!r}, 'w')")}, os.path.join(OUT, "hostile.pt"))


if __name__ == "__main__":
    os.makedirs(OUT, exist_ok=True)
    if sys.argv[1:] == ["settings"]:
        sys.exit(settings())
    fairseq_old()
    values()
    hostile()
