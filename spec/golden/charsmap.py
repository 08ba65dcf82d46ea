"""SentencePiece's precompiled_charsmap from a dictionary of replacements, for the scripts beside this.

The layout: a u32 size, a double array of u32 units (Darts-clone), and the replacements, each ended by a zero byte.
"""

import struct


def charsmap(rules):
    strings, trie = b"", {}
    for key, value in rules.items():
        node = trie
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[None] = len(strings)
        strings += value.encode() + b"\0"
    units, used = {0: 0}, {0}

    def place(node, at):
        labels = [label or 0 for label in node]
        offset = 1
        while any((at ^ offset ^ label) in used for label in labels):
            offset += 1
        used.update(at ^ offset ^ label for label in labels)
        units[at] |= offset << 10 | (1 << 8 if None in node else 0)
        for label, child in node.items():
            units[at ^ offset ^ (label or 0)] = child | 1 << 31 if label is None else label
        for label, child in node.items():
            if label is not None:
                place(child, at ^ offset ^ label)

    place(trie, 0)
    size = (max(units) | 255) + 1
    array = [units.get(i, 0) for i in range(size)]
    return struct.pack(f"<I{size}I", 4 * size, *array) + strings
