#pragma once

#include <string>
#include <string_view>

namespace weft {

/// Unicode as CLIP's tokenizer needs it, in the edition that transformers' tokenizers uses.
/// All functions are thread-safe.

/// UTF-8 -> code points. Any bytes are taken: each maximal part of a sequence that is no UTF-8
/// gives one U+FFFD (the Unicode standard's recommendation, which Python and Rust follow).
std::u32string decode_utf8(std::string_view bytes);
/// Code points (no surrogates) -> UTF-8, appended.
void append_utf8(char32_t code, std::string& bytes);
std::string encode_utf8(std::u32string_view text);

/// Normalization form C (Unicode Standard Annex 15).
std::u32string nfc(std::u32string_view text);
/// Lower case, character by character, regardless of neighbours.
std::u32string lower_case(std::u32string_view text);

bool is_letter(char32_t code);  // \p{L}
bool is_number(char32_t code);  // \p{N}
bool is_space(char32_t code);   // \s: White_Space

}  // namespace weft
