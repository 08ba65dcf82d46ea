"""Writes tokenizer_layouts.json: folders of tokenizers in the layouts that Transformers 4 and 5, fast and
slow tokenizers and people write, and the ids that AutoTokenizer of Transformers 5 gives for them.

    python3 spec/golden/make_layouts_golden.py PYTHON4

Needs Transformers 5.24 with tokenizers 0.23.3. PYTHON4 is a Python with Transformers 4 (4.57.6), which
writes the older layouts: python3 -m venv /tmp/v4 && /tmp/v4/bin/pip install 'transformers<5'
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
CONFIGS = ("BertTokenizer", "RobertaTokenizer")

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "dog", "saw", "key", "##s", "DOG", "döG", "é", "e",
          "##e", ".", "!", "<", ">", "[", "]", "url", "mask", "a", "b", "##b", "Saw", "中", "##中", "ß", "1", "##1"]
TEXTS = ["the dog saw .", "The DOG Saw!", "the döG sees é. É", "a <url> b", "a<url>b <URL>", "the [E1] dog [/E1] saw",
         "[MASK] a[MASK] b", "a <mask> b<mask>", "key keys 中a1 1b", "[E1]  [e1]", "", "xyz <s> a </s>", "new new1 anew"]
PAIR = ["the dog", "a <url>"]


def alphabet():
    """GPT-2's characters of the 256 bytes."""
    from tokenizers import pre_tokenizers
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def roberta_files():
    vocab = {t: i for i, t in enumerate(["<s>", "<pad>", "</s>", "<unk>"] + alphabet())}
    merges = ["t h", "th e", "Ġ the", "d o", "do g", "Ġ dog", "Ġ a", "s a", "sa w", "k e", "ke y"]
    for merge in merges:
        vocab.setdefault(merge.replace(" ", ""), len(vocab))
    vocab["<mask>"] = len(vocab)
    return {"vocab.json": json.dumps(vocab, ensure_ascii=False), "merges.txt": "#version: 0.2\n" + "\n".join(merges) + "\n"}


def write(folder, files):
    os.makedirs(folder, exist_ok=True)
    for name, value in files.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        (pathlib.Path(folder) / name).write_text(text, encoding="utf-8")


def read(folder):
    return {p.name: p.read_text(encoding="utf-8") for p in sorted(pathlib.Path(folder).iterdir())}


SAVES = r"""
import sys, transformers
from transformers import AddedToken
out, bert, roberta, version = sys.argv[1:]
def save(name, tokenizer, words=None, specials=None):
    if words: tokenizer.add_tokens(words)
    if specials: tokenizer.add_special_tokens({"additional_special_tokens" if version == "4" else "extra_special_tokens": specials})
    tokenizer.save_pretrained(f"{out}/{name}")
slow = {"4": ["", "Fast"], "5": [""]}[version]
for end in slow:
    for kind, folder in (("Bert", bert), ("Roberta", roberta)):
        c = getattr(transformers, kind + "Tokenizer" + end)
        name = f"v{version}-{kind.lower()}{'-fast' if end else '-slow' if version == '4' else ''}"
        save(name, c.from_pretrained(folder))
        save(name + "-words", c.from_pretrained(folder), ["<url>", AddedToken("new", single_word=True)])
        save(name + "-specials", c.from_pretrained(folder), ["<url>"], ["[E1]", "[/E1]"])
        save(name + "-stripping", c.from_pretrained(folder), None, [AddedToken("[E1]", lstrip=True, rstrip=True)])
        if kind == "Bert":
            save(name + "-cased", c.from_pretrained(folder, do_lower_case=False), ["[E1]"])
            save(name + "-accents", c.from_pretrained(folder, strip_accents=False, tokenize_chinese_chars=False))
            save(name + "-renamed", c.from_pretrained(folder, unk_token="é", mask_token="<mask>"))
        else:
            save(name + "-prefix", c.from_pretrained(folder, add_prefix_space=True), ["new"])
"""


def saved_layouts(python, version):
    """What save_pretrained writes."""
    with tempfile.TemporaryDirectory() as base:
        bert, roberta = f"{base}/bert", f"{base}/roberta"
        write(bert, {"vocab.txt": "\n".join(PIECES) + "\n", "config.json": {"model_type": "bert"}})
        write(roberta, {**roberta_files(), "config.json": {"model_type": "roberta"}})
        out = f"{base}/out"
        os.makedirs(out)
        subprocess.run([python, "-c", SAVES, out, bert, roberta, version], check=True, stderr=subprocess.DEVNULL)
        return {name: {**read(f"{out}/{name}"),
                       "config.json": json.dumps({"model_type": "roberta" if "roberta" in name else "bert"})}
                for name in sorted(os.listdir(out))}


def token(content, **flags):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, **flags}


def hand_layouts():
    """What people and other tools write."""
    vocab, config = "\n".join(PIECES) + "\n", {"model_type": "bert"}
    bert = {"vocab.txt": vocab, "config.json": config}
    size, found = len(PIECES), {}
    found["vocab only"] = bert
    found["vocab without mask"] = {**bert, "vocab.txt": vocab.replace("[MASK]\n", ""), "tokenizer_config.json":
                                   {"additional_special_tokens": ["[E1]"]}}
    found["vocab with space at ends"] = {**bert, "vocab.txt": vocab.replace("dog\n", "dog \u3000\n") + "\n"}
    found["vocab with equal lines"] = {**bert, "vocab.txt": vocab + "dog\nthe\n", "added_tokens.json": {"<url>": size + 2}}
    found["windows line ends"] = {**bert, "vocab.txt": vocab.replace("\n", "\r\n")}
    found["config"] = {**bert, "tokenizer_config.json": {"do_lower_case": False, "model_max_length": 512}}
    found["config, accents"] = {**bert, "tokenizer_config.json": {"strip_accents": False}}
    found["electra"] = {**bert, "config.json": {"model_type": "electra"},
                        "tokenizer_config.json": {"tokenizer_class": "ElectraTokenizer"}}
    found["distilbert's class"] = {**bert, "tokenizer_config.json": {"tokenizer_class": "DistilBertTokenizerFast"}}
    found["class in config.json"] = {**bert, "config.json": {"model_type": "roberta", "tokenizer_class": "BertTokenizer"}}
    found["added_tokens.json"] = {**bert, "added_tokens.json": {"<url>": size, "new": size + 1}}
    found["added_tokens.json, special"] = {**bert, "added_tokens.json": {"[E1]": size + 1, "<url>": size},
                                           "special_tokens_map.json": {"additional_special_tokens": ["[E1]"]}}
    found["added_tokens.json beside a decoder"] = {**bert, "added_tokens.json": {"<url>": size}, "tokenizer_config.json":
                                                   {"added_tokens_decoder": {str(size): token("[E1]", special=True)}}}
    found["map only"] = {**bert, "vocab.txt": vocab.replace("[CLS]", "<s>").replace("[SEP]", "</s>").replace("[UNK]", "é"),
                         "special_tokens_map.json": {"cls_token": "<s>", "sep_token": token("</s>"), "unk_token": "é",
                                                     "mask_token": token("[MASK]", lstrip=True)}}
    found["map against config"] = {**bert, "special_tokens_map.json": {"mask_token": "key"},
                                   "tokenizer_config.json": {"mask_token": "[MASK]", "additional_special_tokens": ["[E1]"]}}
    found["map with extra tokens"] = {**bert, "special_tokens_map.json": {"extra_special_tokens": ["[/E1]", token("<url>")]},
                                      "tokenizer_config.json": {"extra_special_tokens": ["[E1]"]}}
    found["extra tokens with names"] = {**bert, "tokenizer_config.json":
                                        {"extra_special_tokens": {"url_token": "<url>", "e_token": "[E1]"}}}
    found["token with a key of its own"] = {**bert, "tokenizer_config.json": {"url_token": "<url>", "extra_special_tokens": ["[E1]"]}}
    found["both keys"] = {**bert, "tokenizer_config.json": {"extra_special_tokens": ["[E1]"],
                                                            "additional_special_tokens": ["<url>"]}}
    found["decoder with gaps"] = {**bert, "tokenizer_config.json": {"added_tokens_decoder":
                                  {"900": token("[E1]", special=True), "800": token("<url>"), "4": token("[MASK]", rstrip=True)}}}
    found["no mask in config"] = {**bert, "tokenizer_config.json": {"mask_token": None}}
    found["no mask in map"] = {**bert, "special_tokens_map.json": {"mask_token": None}}
    found["no mask in map, one in config"] = {**bert, "special_tokens_map.json": {"mask_token": None},
                                              "tokenizer_config.json": {"mask_token": "[MASK]"}}
    found["no mask in config, one in map"] = {**bert, "special_tokens_map.json": {"mask_token": "[MASK]"},
                                              "tokenizer_config.json": {"mask_token": None}}
    found["no mask in map beside a decoder"] = {**bert, "special_tokens_map.json": {"mask_token": None}, "tokenizer_config.json":
                                                {"added_tokens_decoder": {str(size): token("[E1]", special=True)}}}
    found["split special tokens"] = {**bert, "tokenizer_config.json": {"split_special_tokens": True}}
    roberta = {**roberta_files(), "config.json": {"model_type": "roberta"}}
    found["roberta vocab only"] = roberta
    found["roberta prefix"] = {**roberta, "tokenizer_config.json": {"add_prefix_space": True}}
    found["roberta added_tokens.json"] = {**roberta, "added_tokens.json": {"<url>": 272}}
    found["roberta map"] = {**roberta, "special_tokens_map.json": {"mask_token": token("<mask>", lstrip=True, normalized=True)}}
    # Two keys of one token: the last one's flags count, in the order of Transformers' keys.
    found["roberta map of cls"] = {**roberta, "special_tokens_map.json": {"cls_token": token("<s>", rstrip=True)}}
    found["roberta map of bos"] = {**roberta, "special_tokens_map.json": {"bos_token": token("<s>", lstrip=True)}}
    found["roberta map of bos and cls"] = {**roberta, "special_tokens_map.json": {
        "cls_token": token("</s>", rstrip=True), "sep_token": token("<s>", lstrip=True), "bos_token": token("<s>", rstrip=True)}}
    found["longformer's class"] = {**roberta, "tokenizer_config.json": {"tokenizer_class": "LongformerTokenizerFast"}}
    found["roberta without a beginning"] = {**roberta, "tokenizer_config.json": {"bos_token": None, "mask_token": None}}
    found["gpt2's class"] = {**roberta, "tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", "pad_token": "<pad>",
                             "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}}
    return found


def json_layouts():
    """tokenizer.json of every component that we read, under the class that takes it as it is written and BERT's."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers as N, pre_tokenizers as P, processors
    vocab = {p: i for i, p in enumerate(PIECES)}
    template = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                                             special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

    def wordpiece(normalizer, split, processor=template, added=(), **model):
        tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", **model))
        if normalizer: tokenizer.normalizer = normalizer
        if split: tokenizer.pre_tokenizer = split
        if processor: tokenizer.post_processor = processor
        tokenizer.add_special_tokens(specials)
        tokenizer.add_tokens(list(added))
        return tokenizer.to_str()

    normalizers = {
        "none": None,
        "bert": N.BertNormalizer(),
        "bert cased": N.BertNormalizer(lowercase=False, strip_accents=True, handle_chinese_chars=False, clean_text=False),
        "NFD lowercase strip": N.Sequence([N.NFD(), N.Lowercase(), N.StripAccents()]),
        "NFC": N.NFC(), "NFKC": N.Sequence([N.NFKC(), N.Lowercase()]), "NFKD": N.NFKD(), "lowercase": N.Lowercase(),
        "strip": N.Sequence([N.Strip(), N.Lowercase()]), "strip left": N.Strip(left=True, right=False),
        "replace": N.Sequence([N.Replace("saw", "a%1"), N.Replace(".", "!"), N.StripAccents()]),
        "nested": N.Sequence([N.Sequence([N.NFD()]), N.Sequence([N.StripAccents(), N.Lowercase()])]),
    }
    splitters = {
        "none": None, "bert": P.BertPreTokenizer(), "whitespace": P.Whitespace(), "whitespace split": P.WhitespaceSplit(),
        "punctuation": P.Sequence([P.WhitespaceSplit(), P.Punctuation()]), "only punctuation": P.Punctuation(),
    }
    processors_of = {
        "none": None, "bert": processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2)),
        "roberta": processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2)),
        "sequence": processors.Sequence([processors.ByteLevel(), template]), "byte level": processors.ByteLevel(),
    }
    made = {f"normalizer {k}": wordpiece(n, P.BertPreTokenizer()) for k, n in normalizers.items()}
    made.update({f"pre_tokenizer {k}": wordpiece(N.BertNormalizer(), s) for k, s in splitters.items()})
    made.update({f"post_processor {k}": wordpiece(N.BertNormalizer(), P.BertPreTokenizer(), p)
                 for k, p in processors_of.items()})
    made["added tokens"] = wordpiece(N.BertNormalizer(), P.BertPreTokenizer(), template, [
        "<url>", AddedToken("new", single_word=True), AddedToken("[E1]", lstrip=True, normalized=False)])
    made["other model"] = wordpiece(N.BertNormalizer(), P.BertPreTokenizer(), max_input_chars_per_word=3)
    fast = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    bert = {"tokenizer_class": "BertTokenizerFast"}
    found, config = {}, {"model_type": "bert"}
    for name, text in made.items():
        found[f"json: {name}"] = {"tokenizer.json": text, "tokenizer_config.json": fast, "config.json": config}
    for name in ("normalizer none", "normalizer NFD lowercase strip", "normalizer bert cased", "pre_tokenizer whitespace",
                 "post_processor none", "post_processor roberta", "added tokens", "other model"):
        found[f"json under BERT's class: {name}"] = {"tokenizer.json": made[name], "tokenizer_config.json": bert,
                                                     "config.json": config}
    found["json without tokenizer_config.json"] = {"tokenizer.json": made["normalizer bert cased"], "config.json": config}
    found["json with tokens in config"] = {"tokenizer.json": made["added tokens"], "config.json": config, "tokenizer_config.json":
                                           {**fast, "mask_token": "[MASK]", "extra_special_tokens": ["[/E1]", "key"],
                                            "added_tokens_decoder": {"90": token("b", special=True)}}}
    found["json, decoder has more"] = {"tokenizer.json": made["normalizer bert"], "config.json": config, "tokenizer_config.json":
                                       {**bert, "added_tokens_decoder": {"4": token("[MASK]", special=True), str(len(PIECES)): token("<url>")}}}
    found["json, decoder has less"] = {"tokenizer.json": made["added tokens"], "config.json": config, "tokenizer_config.json":
                                       {**bert, "added_tokens_decoder": {"4": token("[MASK]", special=True)}}}

    older = json.loads(made["added tokens"])
    older["model"]["vocab"] = {p: (5 + len(PIECES) - 1 - i if i > 4 else i) for p, i in vocab.items()}
    found["json for other versions"] = {"tokenizer.json": json.dumps(older), "tokenizer.4.0.0.json": made["added tokens"],
                                        "config.json": config, "tokenizer_config.json": {**bert, "fast_tokenizer_files":
                                        ["tokenizer.json", "tokenizer.4.0.0.json"]}}

    files = roberta_files()
    ids = json.loads(files["vocab.json"])
    merges = [tuple(line.split()) for line in files["merges.txt"].splitlines()[1:]]

    def bpe(split, normalizer=None, processor=processors.RobertaProcessing(("</s>", 2), ("<s>", 0)), **model):
        tokenizer = Tokenizer(models.BPE(ids, merges, **model))
        tokenizer.pre_tokenizer = split
        if normalizer: tokenizer.normalizer = normalizer
        if processor: tokenizer.post_processor = processor
        tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True, special=True)])
        return tokenizer.to_str()

    level = P.ByteLevel(add_prefix_space=False)
    fast = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>"}
    for name, text in {
        "plain": bpe(level), "prefix": bpe(P.ByteLevel(add_prefix_space=True)), "one word": bpe(P.ByteLevel(False, use_regex=False)),
        "NFC": bpe(level, N.NFC()), "lowercase": bpe(level, N.Sequence([N.NFD(), N.Lowercase(), N.StripAccents()])),
        "whitespace": bpe(P.Sequence([P.WhitespaceSplit(), P.ByteLevel(add_prefix_space=True)])),
        "punctuation": bpe(P.Sequence([P.Punctuation(), level])), "no frame": bpe(level, processor=processors.ByteLevel()),
        "unk": bpe(level, unk_token="<unk>", fuse_unk=True),
    }.items():
        found[f"bpe json: {name}"] = {"tokenizer.json": text, "tokenizer_config.json": fast, "config.json": {"model_type": "roberta"}}
    found["bpe json under RoBERTa's class"] = {"tokenizer.json": bpe(P.ByteLevel(add_prefix_space=True), N.Lowercase()),
                                               "tokenizer_config.json": {"tokenizer_class": "RobertaTokenizer"},
                                               "config.json": {"model_type": "roberta"}}
    return found


def expected(folder):
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(folder)
    lines = [" ".join(map(str, tokenizer(text)["input_ids"])) for text in TEXTS]
    return lines + [" ".join(map(str, tokenizer(*PAIR)["input_ids"]))]


def main():
    layouts = {**hand_layouts(), **json_layouts(), **saved_layouts(sys.argv[1], "4"), **saved_layouts(sys.executable, "5")}
    contents, golden = [], {}
    for name, files in layouts.items():
        with tempfile.TemporaryDirectory() as folder:
            write(folder, files)
            ids = expected(folder)
            index = {}
            for file, text in read(folder).items():
                if text not in contents:
                    contents.append(text)
                index[file] = contents.index(text) + 1
        golden[name] = {"files": index, "ids": ids}
    value = {"texts": TEXTS, "pair": PAIR, "contents": contents, "layouts": golden}
    (HERE / "tokenizer_layouts.json").write_text(json.dumps(value, indent=0, ensure_ascii=True) + "\n")
    print(len(golden), "layouts")


main()
