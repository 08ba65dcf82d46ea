"""Writes lua/fsam/text/unicode_tables.lua: what Hugging Face's tokenizers library takes each code
point for, found by asking it about all of them.

    python3 spec/golden/make_unicode_tables.py > lua/fsam/text/unicode_tables.lua

Needs Python 3.11 (its Unicode 14.0 is PCRE2 10.42's), tokenizers 0.23.3 and regex (newer Unicode
tables than any of the above). Run it again only to follow another version of tokenizers.
"""

import textwrap
import unicodedata

import regex
import tokenizers
from tokenizers import normalizers, pre_tokenizers

assert unicodedata.unidata_version == "14.0.0", unicodedata.unidata_version

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def bert(**on):
    flags = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**{**flags, **on}).normalize_str


CLEAN, CHINESE, LOWER = bert(clean_text=True), bert(handle_chinese_chars=True), bert(lowercase=True)
STRIP = bert(strip_accents=True)
STRIP_ALL = normalizers.StripAccents().normalize_str
NFD, NFKD = normalizers.NFD().normalize_str, normalizers.NFKD().normalize_str
WORDS = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str


def splits(c):
    return [word for word, _ in WORDS(f"a{chr(c)}b")]


def joins(before, c):
    return len(GPT2(before + chr(c))) == 1


def inert(c):
    """Does NFD leave c alone: no decomposition, and marks do not move past it?"""
    s = chr(c)
    return NFD(s) == s and NFD(f"a\u0345{s}") == f"a\u0345{s}" and NFD(f"a{s}\u0334") == f"a{s}\u0334"


def active_today(c):
    return bool(regex.match(r"\P{ccc=0}|\p{dt=can}", chr(c)))


def later(letter):
    """Code points of a general category for GPT-2's expression that Unicode 14.0 does not know."""
    before = "a" if letter == "L" else "1"
    return [c for c in CODE_POINTS if unicodedata.category(chr(c))[0] != letter and joins(before, c)]


def word_only_there():
    """Word characters of single_word tokens that their category in Unicode 14.0 does not tell."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.add_tokens([tokenizers.AddedToken("qq", single_word=True)])
    assert tokenizer.encode("!qq").tokens[-1] == "qq"
    return [c for c in CODE_POINTS
            if unicodedata.category(chr(c)) not in ("Nd", "Nl", "Pc")
            and unicodedata.category(chr(c))[0] not in "LM"
            and tokenizer.encode(f"{chr(c)}qq").tokens[-1] != "qq"]


def ranges(codes):
    found = []
    for c in sorted(codes):
        if found and found[-1][1] == c - 1:
            found[-1][1] = c
        else:
            found.append([c, c])
    return " ".join(f"{a:X}" if a == b else f"{a:X}-{b:X}" for a, b in found)


def emit(name, comment, text):
    for line in textwrap.wrap(comment, 95):
        print(f"-- {line}")
    print(f"M.{name} = [[")
    print("\n".join(textwrap.wrap(text, 98, break_on_hyphens=False)))
    print("]]\n")


print(f"""\
--- What Hugging Face's tokenizers library ({tokenizers.__version__}) takes each code point for. Written by
-- spec/golden/make_unicode_tables.py, which asked it about all of them; edit that, not this.
--
-- The library's own tables are of several Unicode versions: categories for BERT are those of 8.0,
-- canonical decomposition 9.0, GPT-2's classes 16.0, lower case 17.0. They are kept here where ids
-- would otherwise depend on the versions of utf8proc and PCRE2. Each list is of code points and
-- ranges, in hexadecimal.
local M = {{}}
""")
emit("SPACE", "Separates words.", ranges(c for c in CODE_POINTS if splits(c) == ["a", "b"]))
emit("DROPPED", "Removed by clean_text: controls, format characters, private use, U+FFFD.",
     ranges(c for c in CODE_POINTS if CLEAN(chr(c)) == ""))
emit("CHINESE", "Set apart by handle_chinese_chars.",
     ranges(c for c in CODE_POINTS if CHINESE(chr(c)) != chr(c)))
emit("MARK", "Removed by strip_accents: nonspacing marks.",
     ranges(c for c in CODE_POINTS if STRIP(chr(c)) == ""))
emit("COMBINING", "Removed by the normalizer StripAccents: marks of every kind.",
     ranges(c for c in CODE_POINTS if STRIP_ALL(chr(c)) == ""))
emit("PUNCTUATION", "A word of its own.", ranges(c for c in CODE_POINTS if len(splits(c)) == 3))
emit("INERT", "Newer marks and composed characters, which canonical decomposition leaves alone.",
     ranges(c for c in CODE_POINTS if active_today(c) and inert(c)))
emit("COMPATIBLE", "Newer characters, which compatibility decomposition leaves alone.",
     ranges(c for c in CODE_POINTS if regex.match(r"\P{dt=none}", chr(c)) and NFKD(chr(c)) == chr(c)
            and not active_today(c)))
emit("LETTER", "Letters for GPT-2's expression that are newer than Unicode 14.0.", ranges(later("L")))
emit("NUMBER", "Numbers, likewise.", ranges(later("N")))
emit("WORD", "Word characters whose category in Unicode 14.0 does not tell.", ranges(word_only_there()))
emit("LOWER", "Lower-case letters newer than Unicode 15.0: pairs of a code point and its mapping.",
     " ".join(f"{c:X}-{ord(LOWER(chr(c))):X}" for c in CODE_POINTS
              if LOWER(chr(c)) != chr(c) and LOWER(chr(c)) != chr(c).lower()))
print("return M")
