"""Writes lua/fsam/text/grapheme_tables.lua: how Hugging Face's tokenizers library parts text into graphemes.

    python3 spec/golden/make_grapheme_tables.py

Needs tokenizers 0.23.3. Its normalizer Precompiled replaces a short grapheme as one, by its first character, so a
charsmap of a few characters shows where graphemes end. Every code point is asked about.
"""

import json
import pathlib

from tokenizers import normalizers

from charsmap import charsmap

OUT = pathlib.Path(__file__).parents[2] / "lua/fsam/text/grapheme_tables.lua"

HEAD = """--- Classes of code points that decide where graphemes end, as Hugging Face's tokenizers library
-- (0.23.3, Unicode 17) has them. Written by spec/golden/make_grapheme_tables.py, which asked it
-- about all code points; edit that, not this. Lists are of code points and ranges, in hexadecimal.
-- Hangul syllables, regional indicators, CR and LF are known without a list.
local M = {}
"""

NOTES = {
    "EXTEND": "Belongs to the grapheme before it.",
    "SPACING": "Belongs to the grapheme before it, but ends an emoji and a conjunct.",
    "PREPEND": "Belongs to the grapheme after it.",
    "CONTROL": "A grapheme of its own.",
    "LEADING": "Hangul: leading consonants.",
    "VOWEL": "Hangul: vowels.",
    "TRAILING": "Hangul: trailing consonants.",
    "PICTURE": "A picture; joined to the one before by U+200D.",
    "LINKER": "Joins two consonants of an Indic script; also in EXTEND.",
    "CONSONANT": "A consonant of such a script.",
    "BREAKING": "In EXTEND, but ends a conjunct.",
}

KEYS = "b\u00a9\u1100\u1161\u11a8\u0301\u0915"
MARK = "\u0301"


def classify():
    f = normalizers.Precompiled(charsmap({key: "X" for key in KEYS})).normalize_str

    def joined(before, key):
        """Does the key belong to the grapheme before it? Alone with its mark it would swallow that."""
        return f(before + key + MARK) == f(before) + "XX"

    lists = {name: [] for name in NOTES}
    for code in range(0x110000):
        c = chr(code)
        if 0xD800 <= code <= 0xDFFF or c in KEYS:
            continue
        leading, vowel, trailing = (joined(c, key) for key in "\u1100\u1161\u11a8")
        left = f("b" + c) == "X"
        if leading and vowel and trailing:
            lists["PREPEND"].append(code)
        elif leading:
            lists["LEADING"].append(code)
        elif vowel and not 0xAC00 <= code <= 0xD7A3:
            lists["VOWEL"].append(code)
        elif trailing and not 0xAC00 <= code <= 0xD7A3:
            lists["TRAILING"].append(code)
        if not f(c + MARK + "\u0302").endswith("\u0302") and c not in "\r\n":
            lists["CONTROL"].append(code)
        if code == 0x200D:
            continue
        if left and joined("\U0001F600" + c + "\u200d", "\u00a9"):
            lists["EXTEND"].append(code)
            if not joined("\u0916\u094d" + c, "\u0915"):
                lists["BREAKING"].append(code)
            if joined("\u0916" + c, "\u0915"):
                lists["LINKER"].append(code)
        elif left:
            lists["SPACING"].append(code)
        elif joined(c + "\u200d", "\u00a9"):
            lists["PICTURE"].append(code)
        if not left and not leading and joined(c + "\u094d", "\u0915"):
            lists["CONSONANT"].append(code)
    lists["EXTEND"].append(0x301)  # the keys
    lists["LEADING"].append(0x1100)
    lists["VOWEL"].append(0x1161)
    lists["TRAILING"].append(0x11A8)
    lists["PICTURE"].append(0xA9)
    lists["CONSONANT"].append(0x915)
    return {name: sorted(codes) for name, codes in lists.items()}


def ranges(codes):
    found = []
    for code in codes:
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return [f"{a:X}" if a == b else f"{a:X}-{b:X}" for a, b in found]


def main():
    text = HEAD
    for name, codes in classify().items():
        lines, line = [], ""
        for word in ranges(codes):
            if len(line) + len(word) >= 98:
                lines.append(line)
                line = ""
            line += (" " if line else "") + word
        text += f"\n-- {NOTES[name]}\nM.{name} = [[\n" + "\n".join([*lines, line]) + "\n]]\n"
    OUT.write_text(text + "\nreturn M\n")


main()
