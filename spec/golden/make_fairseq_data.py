"""Writes fairseq_data.json: small GLUE files, and what bytes fairseq's preparation makes of them.

    python3 spec/golden/make_fairseq_data.py [FOLDER]      (needs numpy and regex)

The preparation is written here a second time, from its documented steps: strip the header, cut
columns, strip each text, GPT-2's BPE, dict.txt, and MMIDIDX files through numpy. With the FOLDER of
a compiled fairseq/data/data_utils_fast, batch_order.json is made too: fairseq's own batch_by_size.
"""
import collections
import json
import os
import random
import struct
import sys

import numpy
import regex

HERE = os.path.dirname(os.path.abspath(__file__))
SPLIT = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
MERGES = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("Ġ", "a"), ("i", "n"), ("o", "n"), ("Ġ", "s"),
          ("in", "g"), ("Ġs", "ing"), ("Ã", "©"), ("h", "e"), ("T", "he"), ("a", "t")]

# -- the vocabulary: the bytes, the merges, the end of a text; dict.txt has them in another order --

kept = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174]
rest = [b for b in range(256) if b not in kept]
byte_character = {b: chr(b) for b in kept}
byte_character.update({b: chr(256 + i) for i, b in enumerate(rest)})
pieces = [byte_character[b] for b in kept + rest] + [a + b for a, b in MERGES] + ["<|endoftext|>"]
encoder = {piece: number for number, piece in enumerate(pieces)}
order = sorted(range(len(pieces)), key=lambda n: n * 7919 % 271)
dictionary = [(str(n), 9000 - 3 * i) for i, n in enumerate(order)]
dictionary += [(f"madeupword{i:04d}", 0) for i in range(-(len(dictionary) + 4) % 8)]
VOCABULARY = {
    "encoder.json": json.dumps(encoder),
    "vocab.bpe": "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in MERGES),
    "dict.txt": "".join(f"{s} {c}\n" for s, c in dictionary),
}

# -- GLUE's files ----------------------------------------------------------------------------------

ODD = ["The cat sang.", ' "Quoted" text,  with  spaces \u00a0', "é\u2003naïve 漢字\u2028",
       "don't </s> <mask>", "the singing at  ", "", "\x1f 12 cats'll sing\u0085", "a\u0300 🙂"]
COLA = [f"src{i}\t{1 if i % 3 else 0}\t{'' if i % 3 else '*'}\t{t}\n" for i, t in enumerate(ODD)]
HEAD = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
MRPC = HEAD + "".join(f"{i % 2}\t{i}\t{i}\t{ODD[i]}\t{ODD[-i]}\n" for i in range(4))
QQP = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
QQP += "1\t2\t3\tthe one\tat two\t0\n4\t5\t6\ttorn\n7\t8\t9\tThe\tsing\t1\n"
QQP += "1\t1\t1\tthree\tfour\t0\n"
N8 = "\t".join(["index", "promptID", "pairID", "genre", "sentence1_binary_parse",
                "sentence2_binary_parse", "sentence1_parse", "sentence2_parse"])
N10 = N8 + "\tsentence1\tsentence2"
MNLI = [("the one", "at", "neutral"), ("The", "sing", "entailment"), ("a", "b", "contradiction"),
        ("on", "in", "entailment")]


def mnli(rows, middle, head):
    blank = "\t".join("x" * 8)
    return N10 + head + "\n" + "".join(f"{blank}\t{a}\t{b}{middle}{c if middle else ''}\n"
                                       for a, b, c in rows)


LABELS = "\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label"
STSB_HEAD = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2"
SCORES = ["5.000", "0.000", "3.800", "2.333", "1e-05", "4.999"]
STSB = STSB_HEAD + "\tscore\n" + "".join(f"{i}\tg\tf\ty\to\ts\ts\tthe {i}\tsing {i}\t{s}\n"
                                         for i, s in enumerate(SCORES))
FILES = {
    "cola": {"train.tsv": "".join(COLA), "dev.tsv": "".join(COLA[3:5]),
             "test.tsv": "index\tsentence\n0\tThe cat.\n1\t sings\n"},
    "mrpc": {"train.tsv": MRPC, "dev.tsv": MRPC},
    "qqp": {"train.tsv": QQP, "dev.tsv": QQP, "test.tsv": "id\tquestion1\tquestion2\n0\tthe\ta\n"},
    "mnli": {"train.tsv": mnli(MNLI, "\tn\t", "\tlabel1\tgold_label"),
             "dev_matched.tsv": mnli(MNLI[:2], "\t1\t2\t3\t4\t5\t", LABELS),
             "dev_mismatched.tsv": mnli(MNLI[2:], "\t1\t2\t3\t4\t5\t", LABELS),
             "test_matched.tsv": mnli(MNLI[:1], "", ""),
             "test_mismatched.tsv": mnli(MNLI[1:3], "", "")},
    "stsb": {"train.tsv": STSB, "dev.tsv": STSB},
}
# Columns from 1: texts, texts of a test set, label of training, label of other sets.
COLUMNS = {"cola": ([4], [2], 2, 2), "mrpc": ([4, 5], [4, 5], 1, 1), "qqp": ([4, 5], [2, 3], 6, 6),
           "mnli": ([9, 10], [9, 10], 12, 16), "stsb": ([8, 9], [8, 9], 10, 10)}
NAMES = {"dev.tsv": "valid", "dev_matched.tsv": "valid", "dev_mismatched.tsv": "valid1",
         "test_matched.tsv": "test", "test_mismatched.tsv": "test1"}

# -- fairseq's steps -------------------------------------------------------------------------------


def bpe(word):
    parts = [byte_character[b] for b in word.encode("utf-8")]
    while True:
        ranked = [MERGES.index(pair) for pair in zip(parts, parts[1:]) if pair in MERGES]
        if not ranked:
            return parts
        first, second = MERGES[min(ranked)]
        joined, i = [], 0
        while i < len(parts):
            both = parts[i:i + 2] == [first, second]
            joined.append(first + second if both else parts[i])
            i += 2 if both else 1
        parts = joined


def ids_of(symbols, words):
    place = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    place.update({s: 4 + i for i, s in enumerate(symbols)})
    return [place.get(w, 3) for w in words] + [2]


def binarised(lists):
    data = b"".join(numpy.array(ids, dtype="<u2").tobytes() for ids in lists)
    sizes = [len(ids) for ids in lists]
    places = numpy.cumsum([0] + [2 * s for s in sizes])[:-1]
    index = (b"MMIDIDX\0\0" + struct.pack("<QBQ", 1, 8, len(lists))
             + numpy.array(sizes, dtype="<i4").tobytes()
             + numpy.array(places, dtype="<i8").tobytes())
    return data, index


def rows_of(task, name, text):
    lines = text.split("\n")[:-1]
    if task != "cola" or name == "test.tsv":
        lines = lines[1:]
    rows = [line.split("\t") for line in lines]
    return [r for r in rows if len(r) == 6] if task == "qqp" and name != "test.tsv" else rows


def prepare(task):
    texts, test_texts, label, other_label = COLUMNS[task]
    out, labels, symbols = {}, {}, [s for s, _ in dictionary]

    def put(path, lists):
        out[path + ".bin"], out[path + ".idx"] = binarised(lists)

    for name, text in FILES[task].items():
        rows, split = rows_of(task, name, text), NAMES.get(name, name[:-4])
        for k, column in enumerate(test_texts if split.startswith("test") else texts):
            put(f"input{k}/{split}", [ids_of(symbols, [
                str(encoder[piece]) for word in SPLIT.findall(r[column - 1].strip())
                for piece in bpe(word)]) for r in rows])
        if not split.startswith("test"):
            labels[split] = [r[(label if split == "train" else other_label) - 1] for r in rows]
    if task == "stsb":
        for split, scores in labels.items():
            lines = ["%.6g\n" % (float(s) / 5) for s in scores]
            out[f"label/{split}.label"] = "".join(lines).encode()
        return out
    counts = collections.Counter(labels["train"])
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    ranked += [(f"madeupword{i:04d}", 0) for i in range(-(len(ranked) + 4) % 8)]
    out["label/dict.txt"] = "".join(f"{s} {c}\n" for s, c in ranked).encode()
    for split, words in labels.items():
        put(f"label/{split}", [ids_of([s for s, _ in ranked], [w]) for w in words])
    return out


def batch_order(folder):
    sys.path.insert(0, folder)
    from data_utils_fast import batch_by_size_vec
    random.seed(5)
    cases = []
    for _ in range(120):
        longest = random.choice([3, 20, 60])
        lengths = [random.randint(1, longest) for _ in range(random.randint(1, 60))]
        tokens, sentences = random.choice([-1, 60, 80, 200]), random.choice([-1, 1, 5, 8, 12, 32])
        tokens = 100 if tokens == sentences == -1 else tokens
        multiple = random.choice([1, 2, 3, 8, 8])
        cut = batch_by_size_vec(numpy.arange(len(lengths)), numpy.array(lengths), tokens, sentences,
                                multiple)
        cases.append([lengths, tokens, sentences, multiple, [len(batch) for batch in cut]])
    return cases


def write(name, value):
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
        json.dump(value, f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    write("fairseq_data.json", {
        "vocabulary": VOCABULARY, "files": FILES,
        "binarised": {task: {path: data.hex() for path, data in prepare(task).items()}
                      for task in FILES}})
    if len(sys.argv) > 1:
        write("batch_order.json", batch_order(sys.argv[1]))
