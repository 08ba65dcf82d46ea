"""Writes what the specs of SentencePiece's tokenizers compare with:

    unigram/albert.model, xlm_roberta.model, bytes.model   small models, trained on the texts of make_tokenizer_golden.py
    unigram/albert.json, xlm_roberta.json                  the first two as Transformers 5 saves them
    unigram/golden.json                                    texts and their ids, and checksums over random texts

    python3 spec/golden/make_unigram_golden.py ../shared/data

Needs sentencepiece 0.2.3, transformers 5.24, tokenizers 0.23.3 and protobuf. The argument is as for
make_tokenizer_golden.py.
"""

import io
import json
import pathlib
import tempfile
import unicodedata

import sentencepiece
from tokenizers import Tokenizer
from transformers import AlbertTokenizer, XLMRobertaTokenizer

from make_tokenizer_golden import LITERALS, SENTENCES, make_texts

HERE = pathlib.Path(__file__).parent / "unigram"
SPACE = "\u2581"

# A few rules of each kind that SentencePiece's nmt_nfkc has: removed, widened, composed, decomposed, spaces.
RULES = {"\x01": "", "\u200b": " ", "\xa0": " ", "\u3000": " ", "\t": " ", "\n": " ", "\r": " ", "\u2028": " ", "\x85": " ",
         "\ufb01": "fi", "\u2122": "tm", "\xbd": "1\u20442", "e\u0301": "\xe9", "a\u0301": "\xe1", "\uff21": "A", "\uff41": "a",
         "\xb2": "2", "\u0958": "\u0915\u093c", "\uff76\uff9e": "\u30ac", "\uff76": "\u30ab", "\u1112\u1161\u11ab": "\ud55c",
         "\u1112\u1161": "\ud558", "\u2460": "1", "\xb4": " \u0301", "\ufdfa": "a b c", "\xad": "", "\uff0c": ",", "\u00a8": " \u0308"}

ATOMS = ["1", "2,", "3", "9,", "a", "B", ",", "(", ")", '"', "-", ".", " ", "  ", "'", "`", "the", "\u00a3", "\u20ac", "\u2013",
         "\u00bd", "\u2460", "\u00c5", "e\u0301", "\u0301", "\u200d", "\u00a9", "\u0600", "\u0915", "\u094d", "\u1112", "\u1161",
         "\u11ab", "\ufb01", "\uff21", "\u0958", "\u2122", "<unk>", "[MASK]", "<mask>", "\u2581", "\t", "\n", "\u3000", "\r\n",
         "\x1c", "\u3392", "\u03a3", "\u0130", "\u03c2", "Keys ", "\uff76\uff9e", "\x01", "\u200b", "\U0001f600", "\ud55c",
         "\u00b4", "\ufdfa", "x y", "\x85", "``", "''", "\U0001f1e9\U0001f1ea", "\u0903", "\u0308", "\u5b57", "12,345", "_"]


def random_texts(count):
    """Texts that the specs make in the same way: numbers of Lehmer's generator choose code points and atoms."""
    state = 1

    def below(limit):
        nonlocal state
        state = state * 16807 % 2147483647
        return state % limit

    for _ in range(count):
        text = ""
        for _ in range(below(14) + 1):
            kind = below(6)
            if kind < 4:
                text += ATOMS[below(len(ATOMS))]
            else:
                code = below((0x3100, 0x110000)[kind - 4])
                text += " " if 0xD800 <= code <= 0xDFFF or code in LATER else chr(code)
        yield text


# Marks of Unicode 15, which Python 3.11 does not know.
LATER = set(range(0x1E08F, 0x1E090)) | set(range(0x1E4EC, 0x1E4F0)) | {0xCF3, 0xECE, 0x10EFD, 0x10EFE, 0x10EFF}


def checksums(ids_of, count=2000, block=500):
    sums, checksum = [], 0
    for i, text in enumerate(random_texts(count)):
        for token in ids_of(text):
            checksum = (checksum * 31 + token) % 2147483647
        if (i + 1) % block == 0:
            sums.append(checksum)
            checksum = 0
    return sums


def train(name, corpus, **options):
    model = io.BytesIO()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        for key, value in RULES.items():
            rules.write(" ".join(f"{ord(c):X}" for c in key) + "\t" + " ".join(f"{ord(c):X}" for c in value) + "\n")
        rules.flush()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(corpus), model_writer=model, model_type="unigram", minloglevel=2,
            normalization_rule_tsv=rules.name, character_coverage=0.98, hard_vocab_limit=False,
            num_threads=1, **options)
    (HERE / f"{name}.model").write_bytes(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def albert_pieces(model, text):
    """ALBERT's own rules around SentencePiece, as Transformers had them until it took to tokenizers alone."""
    text = "".join(c.lower() for c in text)
    text = " ".join(text.split()).replace("``", '"').replace("''", '"')
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).lower()
    pieces = []
    for piece in model.encode(text, out_type=str):
        if len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit():
            found = model.encode(piece[:-1].replace(SPACE, ""), out_type=str)
            if piece[0] != SPACE and found[0][0] == SPACE:
                found[:1] = [found[0][1:]] if len(found[0]) > 1 else []
            pieces += found + [","]
        else:
            pieces.append(piece)
    return pieces


WHITE = "".join(c for c in map(chr, range(0x3001)) if c.isspace() and c not in "\x1c\x1d\x1e\x1f")


def without_specials(text, specials):
    """The stretches between special tokens. A mask takes the space before it, by Unicode's word on what is space:
    Python's strip takes four controls too."""
    parts = [text]
    for token in specials:
        parts = [q for part in parts for q in split_at(part, token)]
    for i in range(1, len(parts)):
        if parts[i] in ("[MASK]", "<mask>") and parts[i] in specials:
            parts[i - 1] = parts[i - 1].rstrip(WHITE)
    return [part for part in parts if part]


def split_at(part, token):
    pieces = part.split(token)
    return [q for piece in pieces for q in (piece, token)][:-1]


def albert_ids(model):
    specials = ["[CLS]", "[SEP]", "<pad>", "<unk>", "[MASK]"]

    def ids(text):
        inner = []
        for part in without_specials(text, specials):
            pieces = [part] if part in specials else albert_pieces(model, part)
            inner += [model.piece_to_id(piece) for piece in pieces]
        return [model.piece_to_id("[CLS]"), *inner, model.piece_to_id("[SEP]")]

    return ids


def xlm_roberta_ids(model):
    own = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": model.get_piece_size() + 1}

    def ids(text):
        inner = []
        for part in without_specials(text, list(own)):
            inner += [own[part]] if part in own else [i + 1 if i else 3 for i in model.encode(part)]
        return [0, *inner, 2]

    return ids


def variants(saved):
    """The same model with other parts around it, by name: what a tokenizer.json may change."""
    def changed(**members):
        return {**saved, **members}

    def metaspace(scheme, split=True):
        return {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": split}

    rules = saved["normalizer"]
    spaces = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": SPACE}
    return {
        "first": changed(pre_tokenizer=metaspace("first")),
        "never": changed(pre_tokenizer=metaspace("never")),
        "whole": changed(pre_tokenizer=metaspace("always", False)),
        "words": changed(pre_tokenizer={"type": "Sequence", "pretokenizers": [
            {"type": "Punctuation", "behavior": "Isolated"}, metaspace("first")]}),
        "none": changed(pre_tokenizer=None, normalizer={"type": "Prepend", "prepend": SPACE}),
        "older": changed(pre_tokenizer=metaspace("always"), normalizer={"type": "Sequence", "normalizers": [
            rules, {"type": "Strip", "strip_left": False, "strip_right": True}, spaces]}),
    }


def lines(ids_of, texts):
    return [" ".join(map(str, ids_of(text))) for text in texts]


def save(name, tokenizer):
    saved = json.loads(tokenizer._tokenizer.to_str())
    (HERE / f"{name}.json").write_text(json.dumps(saved, ensure_ascii=False) + "\n", encoding="utf-8")
    return saved


def main():
    HERE.mkdir(exist_ok=True)
    texts = [t for t in dict.fromkeys(t for pair in make_texts() for t in pair if t and not LATER & set(map(ord, t)))][:520]
    texts += list(random_texts(120))
    corpus = [t for t in SENTENCES if t.strip() and all(ord(c) < 0x530 for c in t)] * 4 + ["\u0915\u094d\u0915 \ud55c\u30ab\u5b57"] * 9
    corpus += [f"{a},{b} and {b}, {a}" for a in range(1, 40) for b in (1, 12, 345)]
    corpus = [t.lower() for t in corpus]
    albert = train("albert", corpus, vocab_size=420, pad_id=0, unk_id=1, bos_id=-1, eos_id=-1,
                   control_symbols=["[CLS]", "[SEP]", "[MASK]"], split_by_number=False, split_by_unicode_script=False,
                   user_defined_symbols=["(", ")", '"', "-", "\u2013", "\u00a3", "\u20ac", "x y"])
    xlm_roberta = train("xlm_roberta", corpus, vocab_size=380)
    bytes_model = train("bytes", corpus, vocab_size=480, byte_fallback=True, remove_extra_whitespaces=False)
    golden = {"texts": texts, "atoms": ATOMS, "later": sorted(LATER), "ids": {}, "checksums": {}}

    def add(name, ids_of):
        golden["ids"][name] = lines(ids_of, texts)
        golden["checksums"][name] = checksums(ids_of)

    add("albert.model", albert_ids(albert))
    add("xlm_roberta.model", xlm_roberta_ids(xlm_roberta))
    add("bytes.model", xlm_roberta_ids(bytes_model))
    for name, cls, file in (("albert", AlbertTokenizer, "spiece.model"),
                            ("xlm_roberta", XLMRobertaTokenizer, "sentencepiece.bpe.model")):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / file).write_bytes((HERE / f"{name}.model").read_bytes())
            tokenizer = cls.from_pretrained(folder)
        add(f"{name}.json", lambda text: tokenizer(text)["input_ids"])
        saved = save(name, tokenizer)
    golden["variants"] = {}
    charsmap = saved["normalizer"]["precompiled_charsmap"] if "precompiled_charsmap" in saved["normalizer"] else (
        saved["normalizer"]["normalizers"][-1]["precompiled_charsmap"])
    for name, changed in variants(saved).items():
        whole = Tokenizer.from_str(json.dumps(changed))
        parts = {key: changed[key] for key in ("normalizer", "pre_tokenizer")}
        golden["variants"][name] = json.loads(json.dumps(parts).replace(charsmap, "CHARSMAP"))
        golden["ids"][name] = lines(lambda text: whole.encode(text).ids, texts)
    text = json.dumps(golden, ensure_ascii=True, indent=0)
    (HERE / "golden.json").write_text(text + "\n")
    print(len(texts), "texts", len(LITERALS))


main()
