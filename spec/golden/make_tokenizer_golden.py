"""Writes what the tokenizer specs compare with, computed by Hugging Face's tokenizers library:

    tokenizer_wordpiece.json, tokenizer_bpe.json   two small tokenizers, trained on the texts below
    tokenizer_golden.json                          texts and their ids by several tokenizers, and
                                                   checksums over all code points

    python3 spec/golden/make_tokenizer_golden.py ../shared/data

Needs tokenizers 0.23.3. The argument is the folder with bert/vocab.txt and gpt2_bpe.
"""

import json
import pathlib
import random
import sys
import zlib

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent
DATA = pathlib.Path(sys.argv[1])
GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False)

SENTENCES = """The keys to the cabinet are lost.|Hello world!|Hello world|I don't think they've seen it, isn't it?
Who did you say that Mary believes the claim that John saw?|THE QUICK BROWN FOX JUMPS|He said: "no" - twice (really).
e-mail: someone@example.org, http://example.org/a_b?c=d&e=f#g|3.14159 and 2,718,281 or 1e-9; 50% of $100|a  b   c    d
The books was sold.|unbelievably antidisestablishmentarianism|I'll we'd you're he's I'm they'VE 'S 'LL|~!@#$%^&*()_+`-={}|[]\\:";'<>?,./
Café au lait, naïve façade, Ångström, São Paulo|İstanbul ISTANBUL ıstanbul istanbul|ΟΔΥΣΣΕΥΣ Ὀδυσσεύς ΑΣ σας Σ|Straße STRASSE ẞ
Ĳsselmeer ǅ ǈ Ǌ ﬁ ﬂ ﬀ|Привет, мир! ЁЛКА ёлка Й й|Việt Nam, Tiếng Việt, ỗ ộ Ợ|שָׁלוֹם עולם|العربيَّة ١٢٣ ، ؟ ؛|فارسی می‌خواهم
नमस्ते दुनिया क्षत्रिय|ภาษาไทยกำลัง|မြန်မာ ဘာသာ|ខ្មែរ|བོད་སྐད་|ქართული ᲥᲐᲠᲗᲣᲚᲘ|Հայերեն|አማርኛ፡ሰላም።|ᏣᎳᎩ ꮳꮃꭹ
日本語のテキスト、カタカナ。ﾊﾝｶｸ ｶﾞ がか゛|中文字符，标点。「引号」|한국어 텍스트, 각 각 ㄱ|𠀀𠮷𪜀𫝀𫠠𫢸𬺡𰀀 豈更車 丽|漢字kanji漢字123漢字
😀 😁🎉 👍🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇫🇷 1️⃣ ❤️ ☕|a👍b👍🏻c|(╯°□°）╯︵ ┻━┻|½ ² ³ ⅷ Ⅷ ① ⑳ ㈱ ㎏ № ™|x²+y²≤z², ∀ε>0 ∃δ: ∑∞
Zalgo: Z̷̛̗a̸͓͝l̴̰̍g̵̹̈o̶̝͠|ṩ ṩ ṩ ṩ|Å Å Å|ạ̈̇ ạ̇̈|ǖ ǘ ǚ ǜ|𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟘𝟙𝟚 ｆｕｌｌ ｗｉｄｔｈ １２３！|«quoted» „so“ ‚or‘ “this” ‘way’ ‹›…‰†‡•–—
ⒶⒷⓐⓑ 🄰🅐 ㊀|𞤀𞤢 𐐀𐐨 𐓀𐓘|ᴬᵃ ₐ ꜰ|Ꞌꞌ Ɤ Ꟊ|꙳ ٭ ※ ⁂|·・･‧•|−‐‑‒–—―－|´`¨^~¸|§¶†‡©®|""".split("|")

LITERALS = ["[SEP]", "[MASK]", "[CLS] a [SEP]", "[UNK]x[PAD]", "[mask]", "[ MASK ]", "[MASK][MASK]", "x[SEP]y",
            "<mask>", "a <mask> b", "a  \u2003<mask>b", "<mask><mask>", "<s>", "</s>", "a</s> b", "<pad><unk>",
            "< mask >", "<MASK>", "[[MASK]]", "<<mask>>", " <mask> ", "\t<mask>\n", "[MASK", "##s", "##", "# #a"]

SPACES = [0x20, 0x09, 0x0A, 0x0D, 0x0B, 0x0C, 0x85, 0xA0, 0x1680, 0x180E, 0x2000, 0x2003, 0x2007, 0x2009, 0x200A,
          0x200B, 0x200C, 0x200D, 0x2028, 0x2029, 0x202F, 0x205F, 0x2060, 0x3000, 0xFEFF]
CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0xAD, 0x61C, 0x200E, 0x200F, 0x202A, 0x202E, 0x2066, 0x2069, 0xFFF9,
            0xFFFC, 0xFFFD, 0xE0001, 0xE0041, 0xE000, 0xF8FF, 0xF0000, 0x10FFFD]
UNASSIGNED = [0x378, 0x0557, 0x2FE0, 0xFFFE, 0xFFFF, 0x1FFFE, 0x2FFFF, 0xE0FFF, 0x10FFFF, 0x50000]
MARKS = [0x300, 0x301, 0x307, 0x308, 0x316, 0x323, 0x327, 0x328, 0x334, 0x345, 0x360, 0x591, 0x5B0, 0x64B, 0x651,
         0x93C, 0x94D, 0xE38, 0xE48, 0x1DCE, 0x20D0, 0x302A, 0x302E, 0x3099, 0xFE0F, 0xFE20, 0x1D165, 0x1D16D,
         0x1ABF, 0x1DFA, 0x8CA, 0x11938, 0x16FF0, 0x1E08F, 0x113C5]


def random_text(rng):
    """A short mixture; every kind of code point has its turn."""
    def char():
        kind = rng.randrange(10)
        if kind < 3:
            return chr(rng.randrange(0x20, 0x7F))
        if kind < 8:
            pool = (SPACES, CONTROLS, UNASSIGNED, MARKS, range(0x80, 0x600))[kind - 3]
            return chr(rng.choice(pool))
        code = rng.randrange(0x600, 0x3000) if kind == 8 else rng.randrange(0x110000)
        return chr(code) if not 0xD800 <= code <= 0xDFFF else "\ud7ff"

    words = ["the", "Keys", "are", "café", "don't", "中", "각", "👍🏽", "[SEP]", "<mask>", " ", " ", "Σ", "İ"]
    return "".join(rng.choice(words) if rng.random() < 0.3 else char() for _ in range(rng.randrange(1, 14)))


def make_texts():
    rng = random.Random(20)
    texts = ["", " ", "\n", "a", " a", "a ", "\u200b", "\ufeffBOM", "\0nul\0"] + SENTENCES + LITERALS
    texts += [f"a{chr(c)}b {chr(c)} c" for c in SPACES]
    texts += ["".join(chr(c) + "x" for c in CONTROLS[i:i + 12]) for i in range(0, len(CONTROLS), 12)]
    texts += [f"e{chr(c)}e{chr(c)}\u0301" for c in MARKS] + [f"x{chr(c)}y" for c in UNASSIGNED]
    texts += ["x" * 100, "x" * 101, "é" * 100, "é" * 101, "the" * 40, "!" * 60, " " * 60 + "a", "a\u0301" * 60]
    texts += [random_text(rng) for _ in range(620 - len(texts) - 40)]
    pairs = [[rng.choice(SENTENCES)[:40], rng.choice(SENTENCES)[:40]] for _ in range(36)]
    return [[t, None] for t in texts] + pairs + [["", ""], ["a", ""], ["", "b"], ["[SEP]", "<mask> b"]]


def bert(vocab, lowercase):
    """BertTokenizer's pipeline."""
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])])
    return tokenizer


def roberta(vocab, merges):
    """RobertaTokenizer's pipeline, with its <mask> that takes the space before it."""
    tokenizer = Tokenizer(models.BPE(vocab, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    saved = json.loads(tokenizer.to_str())
    saved["added_tokens"] = [
        dict(id=vocab[t], content=t, single_word=False, lstrip=t == "<mask>", rstrip=False,
             normalized=False, special=True) for t in ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]]
    tokenizer = Tokenizer.from_str(json.dumps(saved))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", vocab["</s>"]), ("<s>", vocab["<s>"]))
    return tokenizer


def large_bert(lowercase):
    lines = (DATA / "bert/vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    return bert({line: i for i, line in enumerate(lines)}, lowercase)


def large_roberta():
    names = {i: piece for piece, i in json.loads((DATA / "gpt2_bpe/encoder.json").read_text()).items()}
    vocab = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    for line in (DATA / "gpt2_bpe/dict.txt").read_text().splitlines():
        symbol = line.split()[0]
        vocab[names[int(symbol)] if symbol.isdigit() else symbol] = len(vocab)
    vocab["<mask>"] = len(vocab)
    lines = (DATA / "gpt2_bpe/vocab.bpe").read_text(encoding="utf-8").split("\n")[1:-1]
    return roberta(vocab, [tuple(line.split()) for line in lines])


def small_tokenizers(texts):
    corpus = [t for pair in texts for t in pair if t]
    whole = bert({"[CLS]": 0, "[SEP]": 1, "[UNK]": 2}, True)
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    whole.train_from_iterator(corpus, trainers.WordPieceTrainer(
        vocab_size=420, limit_alphabet=150, special_tokens=specials, show_progress=False))
    wordpiece = bert(whole.get_vocab(), True)
    whole = Tokenizer(models.BPE())
    whole.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    whole.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"]))
    saved = json.loads(whole.to_str())["model"]
    return wordpiece, roberta(saved["vocab"], [tuple(m) for m in saved["merges"]])


def ids_of(tokenizer, texts):
    """One string per text: ids, and after a bar the segments where they are not all 0."""
    lines = []
    for first, second in texts:
        got = tokenizer.encode(first) if second is None else tokenizer.encode(first, second)
        line = " ".join(map(str, got.ids))
        lines.append(line + (" | " + " ".join(map(str, got.type_ids)) if any(got.type_ids) else ""))
    return lines


def checksums(words):
    """CRC-32 of the words of all code points in a few contexts, one for each 4,096 code points."""
    sums = []
    for start in range(0, 0x110000, 0x1000):
        crc = 0
        for row in range(start, start + 0x1000, 64):
            codes = [chr(c) for c in range(row, row + 64) if not 0xD800 <= c <= 0xDFFF]
            text = "".join(f"a{c}B e\u0316{c}\u0301\u0334 1{c} !{c} " for c in codes)
            crc = zlib.crc32("\n".join(words(text)).encode(), crc)
        sums.append(crc)
    return sums


def bert_words(lowercase):
    normalizer, split = normalizers.BertNormalizer(lowercase=lowercase), pre_tokenizers.BertPreTokenizer()
    return lambda text: [w for w, _ in split.pre_tokenize_str(normalizer.normalize_str(text))]


def gpt2_words(text):
    return [text[a:b] for _, (a, b) in GPT2.pre_tokenize_str(text)]


def write(name, value, **options):
    (HERE / name).write_text(json.dumps(value, **options) + "\n")


def main():
    texts = make_texts()
    wordpiece, bpe = small_tokenizers(texts)
    for name, tokenizer in (("wordpiece", wordpiece), ("bpe", bpe)):
        saved = json.loads(tokenizer.to_str())
        # Things that must be ignored.
        saved["padding"] = {"strategy": {"Fixed": 128}, "direction": "Right", "pad_to_multiple_of": None,
                            "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]" if name == "wordpiece" else "<pad>"}
        saved["truncation"] = {"max_length": 8, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
        write(f"tokenizer_{name}.json", saved, ensure_ascii=True)
    golden = {
        "texts": texts,
        "ids": {
            "wordpiece": ids_of(wordpiece, texts),
            "bpe": ids_of(bpe, texts),
            "bert_uncased": ids_of(large_bert(True), texts),
            "bert_cased": ids_of(large_bert(False), texts),
            "roberta": ids_of(large_roberta(), texts),
        },
        "checksums": {
            "bert_uncased": checksums(bert_words(True)),
            "bert_cased": checksums(bert_words(False)),
            "gpt2": checksums(gpt2_words),
        },
    }
    write("tokenizer_golden.json", golden, indent=0)
    print(len(texts), "texts")


if __name__ == "__main__":
    main()
