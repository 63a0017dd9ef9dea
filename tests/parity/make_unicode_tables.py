"""Writes diffusion/unicode_classes.cpp and diffusion/unicode_decompositions.cpp.

The tables are read out of the `tokenizers` library, character by character, so that weft's tokenizer
follows the same edition of Unicode as transformers does.

    python tests/parity/make_unicode_tables.py REPOSITORY
"""
import sys
import unicodedata
from pathlib import Path

from tokenizers import Regex, normalizers

CHARACTERS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
HANGUL = range(0xAC00, 0xD7A4)
NFC, NFD = normalizers.NFC().normalize_str, normalizers.NFD().normalize_str
LOWER = normalizers.Lowercase().normalize_str


def ranges(codes):
    found = []
    for code in codes:
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return found


def matching(pattern):
    drop = normalizers.Replace(Regex(pattern), "").normalize_str
    return ranges(c for c in CHARACTERS if drop(chr(c)) == "")


def lower_runs():
    """(first, last, stride, delta): every stride-th character of the run moves by delta."""
    pairs = [(c, ord(LOWER(chr(c)))) for c in CHARACTERS
             if LOWER(chr(c)) != chr(c) and len(LOWER(chr(c))) == 1]
    runs = []
    for code, low in pairs:
        if runs:
            first, last, stride, delta = runs[-1]
            gap = code - last
            if low - code == delta and gap <= 2 and (stride == gap or first == last):
                runs[-1] = (first, code, gap, delta)
                continue
        runs.append((code, code, 1, low - code))
    return runs


def combining_class(code):
    """The class the library orders by: 0 where it does not know the mark yet."""
    known = unicodedata.combining(chr(code))
    if known == 0:
        return 0
    low, high = "\u0334", "\u0345"  # classes 1 and 240
    swaps = (NFD(high + chr(code)) != high + chr(code) if known < 240
             else NFD(chr(code) + low) != chr(code) + low)
    return known if swaps else 0


def class_runs():
    runs = []
    for code in CHARACTERS:
        value = combining_class(code)
        if value == 0:
            continue
        if runs and runs[-1][1] == code - 1 and runs[-1][2] == value:
            runs[-1][1] = code
        else:
            runs.append([code, code, value])
    return runs


def decompositions():
    """One level of canonical decomposition: (code, to) and (code, first, second, composes)."""
    singles, pairs = [], []
    for code in CHARACTERS:
        if NFD(chr(code)) == chr(code) or code in HANGUL:
            continue
        parts = [int(p, 16) for p in unicodedata.decomposition(chr(code)).split()]
        assert parts and NFD(chr(code)) == NFD("".join(map(chr, parts)))
        if len(parts) == 1:
            singles.append((code, parts[0]))
        else:
            pairs.append((code, *parts, int(NFC(chr(code)) == chr(code))))
    return singles, pairs


def array(kind, name, rows, hexadecimal):
    cells = []
    for row in rows:
        cells.append("{" + ", ".join(f"0x{v:X}" if i < hexadecimal else str(v)
                                     for i, v in enumerate(row)) + "}")
    lines, line = [], "   "
    for cell in cells:
        if len(line) + len(cell) + 2 > 100:
            lines.append(line)
            line = "   "
        line += f" {cell},"
    lines.append(line)
    body = "\n".join(lines)
    return f"constexpr std::array<{kind}, {len(rows)}> {name}{{{{\n{body}\n}}}};\n"


def source(note, arrays, functions):
    return ("// Made by tests/parity/make_unicode_tables.py out of the tokenizers library" + note + ".\n"
            "// clang-format off\n"
            '#include "diffusion/unicode_tables.h"\n\n#include <array>\n\nnamespace weft::unicode {\n\n'
            "namespace {\n\n" + "\n".join(arrays) + "\n}  // namespace\n\n" + functions +
            "\n}  // namespace weft::unicode\n")


def main():
    folder = Path(sys.argv[1]) / "diffusion"
    singles, pairs = decompositions()
    (folder / "unicode_classes.cpp").write_text(source(
        ": letters, numbers,\n// lower case and combining classes",
        [array("Range", "letter_ranges", matching(r"\p{L}"), 2),
         array("Range", "number_ranges", matching(r"\p{N}"), 2),
         array("LowerRun", "lower_rows", lower_runs(), 2),
         array("ClassRun", "class_rows", class_runs(), 2)],
        "std::span<const Range> letters() { return letter_ranges; }\n\n"
        "std::span<const Range> numbers() { return number_ranges; }\n\n"
        "std::span<const LowerRun> lower_runs() { return lower_rows; }\n\n"
        "std::span<const ClassRun> combining_classes() { return class_rows; }\n"))
    (folder / "unicode_decompositions.cpp").write_text(source(
        ": canonical\n// decompositions, one level deep, without Hangul",
        [array("Single", "single_rows", singles, 2), array("Pair", "pair_rows", pairs, 3)],
        "std::span<const Single> singles() { return single_rows; }\n\n"
        "std::span<const Pair> pairs() { return pair_rows; }\n"))


main()
