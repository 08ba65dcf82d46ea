"""Hugging Face's tokenizers, for bench/tokenizers/run.

    python peer.py make DATA FOLDER   writes FOLDER/NAME/tokenizer.json for wordpiece, bpe and
                                      unigram, from the files in DATA (bert/vocab.txt, gpt2_bpe,
                                      albert/spiece.model)
    python peer.py time FOLDER        for every line "NAME TEXTS" of standard input, makes that
                                      tokenizer, encodes the texts of the file TEXTS (JSON lines)
                                      once, and prints the processor's seconds and a checksum of ids
"""
import json
import os
import pathlib
import sys
import time

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors  # noqa: E402


def wordpiece(data):
    lines = (data / "bert/vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    vocab = {line: i for i, line in enumerate(lines)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", vocab["[SEP]"]), ("[CLS]", vocab["[CLS]"]))
    return tokenizer


def bpe(data):
    vocab = json.loads((data / "gpt2_bpe/encoder.json").read_text())
    for token in ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]:
        vocab[token] = len(vocab)
    lines = (data / "gpt2_bpe/vocab.bpe").read_text(encoding="utf-8").split("\n")[1:-1]
    tokenizer = Tokenizer(models.BPE(vocab, [tuple(line.split()) for line in lines]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", vocab["</s>"]), ("<s>", vocab["<s>"]))
    return tokenizer


def unigram(data):
    from transformers import AlbertTokenizer

    return AlbertTokenizer.from_pretrained(str(data / "albert"))._tokenizer


MAKERS = {"wordpiece": wordpiece, "bpe": bpe, "unigram": unigram}


def make(data, folder):
    for name, maker in MAKERS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        maker(data).save(str(folder / name / "tokenizer.json"))


def measure(folder):
    for line in sys.stdin:
        name, path = line.split()
        lines = pathlib.Path(path).read_text(encoding="utf-8").split("\n")
        texts = [json.loads(line) for line in lines if line]
        tokenizer = Tokenizer.from_file(str(folder / name / "tokenizer.json"))
        began = time.process_time()
        encodings = tokenizer.encode_batch_fast(texts)
        seconds = time.process_time() - began
        checksum = 0
        for encoding in encodings:
            for token in encoding.ids:
                checksum = (checksum * 31 + token) % 2147483647
        print(seconds, checksum, flush=True)


if sys.argv[1] == "make":
    make(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
else:
    measure(pathlib.Path(sys.argv[2]))
