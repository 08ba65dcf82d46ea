"""Writes the golden models of spec/lua/models/models_spec.lua: small random classifiers of each
family, and for several batch shapes the logits, per-sample losses and every parameter's gradient that
PyTorch and Transformers compute with dropout off in f32.

    python3 spec/golden/make_models.py [NAME…]      (needs torch, transformers, safetensors)
"""
import json
import os
import sys

import torch
from safetensors.torch import save_file
from transformers import (AlbertConfig, AlbertForSequenceClassification, BertConfig,
                          BertForSequenceClassification, DistilBertConfig,
                          DistilBertForSequenceClassification, ElectraConfig,
                          ElectraForSequenceClassification, RobertaConfig,
                          RobertaForSequenceClassification, XLMRobertaConfig,
                          XLMRobertaForSequenceClassification)

HERE = os.path.dirname(os.path.abspath(__file__))
# Lengths of the samples of each case: single, equal, mixed.
CASES = {"one": [7], "equal": [9, 9, 9], "mixed": [3, 17, 1, 30, 8]}


def bert():
    # Width 32 is no multiple of 64, so query, key and value are not adjacent in the model's vector.
    config = BertConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                        intermediate_size=64, max_position_embeddings=40, type_vocab_size=2,
                        num_labels=3)
    return "bert_small", BertForSequenceClassification(config)


def roberta():
    config = RobertaConfig(vocab_size=60, hidden_size=64, num_hidden_layers=1, num_attention_heads=2,
                           intermediate_size=96, max_position_embeddings=42, type_vocab_size=1,
                           pad_token_id=1, num_labels=2, layer_norm_eps=1e-5)
    return "roberta_small", RobertaForSequenceClassification(config)


def electra():
    # Embeddings narrower than the encoder, as the small discriminator has them.
    config = ElectraConfig(vocab_size=50, embedding_size=24, hidden_size=32, num_hidden_layers=2,
                           num_attention_heads=4, intermediate_size=48, max_position_embeddings=40,
                           type_vocab_size=2, num_labels=3)
    return "electra_small", ElectraForSequenceClassification(config)


def electra_one_width():
    # As the base and large discriminators: no projection. The layers' gelu is the tanh form, the head's
    # stays the erf form.
    config = ElectraConfig(vocab_size=40, embedding_size=32, hidden_size=32, num_hidden_layers=1,
                           num_attention_heads=2, intermediate_size=48, max_position_embeddings=40,
                           type_vocab_size=2, num_labels=2, hidden_act="gelu_new")
    return "electra_one_width", ElectraForSequenceClassification(config)


def albert():
    # Five layers run in two groups of two: the first group serves layers 0 to 2, the second 3 and 4, and
    # each layer is two. Embeddings are narrower; width 16 separates query, key and value in the vector.
    config = AlbertConfig(vocab_size=40, embedding_size=12, hidden_size=16, num_hidden_layers=5,
                          num_hidden_groups=2, inner_group_num=2, num_attention_heads=2,
                          intermediate_size=24, max_position_embeddings=40, num_labels=3)
    return "albert_groups", AlbertForSequenceClassification(config)


def albert_shared():
    # As published: one layer for all. Query, key and value are one product.
    config = AlbertConfig(vocab_size=40, embedding_size=16, hidden_size=64, num_hidden_layers=3,
                          num_attention_heads=2, intermediate_size=64, max_position_embeddings=40,
                          num_labels=2)
    return "albert_shared", AlbertForSequenceClassification(config)


def distilbert():
    config = DistilBertConfig(vocab_size=50, dim=32, n_layers=2, n_heads=4, hidden_dim=48,
                              max_position_embeddings=40, num_labels=3)
    return "distilbert_small", DistilBertForSequenceClassification(config)


def xlm_roberta():
    # With relu in its layers, which the published models do not have.
    config = XLMRobertaConfig(vocab_size=60, hidden_size=32, num_hidden_layers=2,
                              num_attention_heads=2, intermediate_size=48,
                              max_position_embeddings=42, type_vocab_size=1, pad_token_id=1,
                              num_labels=2, layer_norm_eps=1e-5, hidden_act="relu")
    return "xlm_roberta_small", XLMRobertaForSequenceClassification(config)


def bert_silu():
    config = BertConfig(vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=32, max_position_embeddings=40, num_labels=2,
                        hidden_act="silu")
    return "bert_silu", BertForSequenceClassification(config)


def randomize(model, generator):
    """Larger values than at initialisation, so that every term matters."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if "norm" in name.lower() and name.endswith("weight"):
                p.copy_(1 + 0.2 * noise)
            elif name.endswith("bias"):
                p.copy_(0.1 * noise)
            else:
                p.copy_(noise * (0.5 if "embeddings" in name else p.shape[-1] ** -0.5))


def case(model, lengths, generator):
    c = model.config
    pad = c.pad_token_id or 0
    longest = max(lengths)
    ids = torch.full((len(lengths), longest), pad)
    mask = torch.zeros(len(lengths), longest, dtype=torch.long)
    types = torch.zeros(len(lengths), longest, dtype=torch.long)
    for b, n in enumerate(lengths):
        ids[b, :n] = torch.randint(2, c.vocab_size, (n,), generator=generator)
        mask[b, :n] = 1
        if getattr(c, "type_vocab_size", 0) > 1:
            types[b, n // 2:n] = 1
    labels = torch.randint(0, c.num_labels, (len(lengths),), generator=generator)
    model.zero_grad()
    more = {"token_type_ids": types} if hasattr(c, "type_vocab_size") else {}
    logits = model(input_ids=ids, attention_mask=mask, **more).logits
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    losses.mean().backward()
    out = {"logits": logits, "losses": losses, "ids": ids.int(), "types": types.int(),
           "lengths": torch.tensor(lengths).int(), "labels": labels.int()}
    for name, p in model.named_parameters():
        out["grad." + name] = p.grad if p.grad is not None else torch.zeros_like(p)
    return {k: v.detach().contiguous() for k, v in out.items()}


def main():
    torch.set_num_threads(1)
    for make in (bert, roberta, electra, electra_one_width, albert, albert_shared, distilbert,
                 xlm_roberta, bert_silu):
        generator = torch.Generator().manual_seed(20221)
        name, model = make()
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        model.eval()
        randomize(model, generator)
        folder = os.path.join(HERE, name)
        os.makedirs(folder, exist_ok=True)
        state = {k: v.contiguous() for k, v in model.state_dict().items() if "position_ids" not in k}
        save_file(state, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
        config = model.config.to_dict()
        config["architectures"] = [type(model).__name__]
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
            json.dump({k: v for k, v in config.items() if v is not None}, f, indent=1, sort_keys=True)
        for label, lengths in CASES.items():
            save_file(case(model, lengths, generator), os.path.join(folder, f"case_{label}.safetensors"))


if __name__ == "__main__":
    main()
