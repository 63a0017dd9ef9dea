#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace weft {

/// CLIP's printable stand-in for each byte, as UTF-8, by byte value.
const std::array<std::string, 256>& byte_symbols();

/// Cuts a normalized text (NFC, lower case) into words by CLIP's pattern
/// `<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+`.
std::vector<std::u32string_view> split_words(std::u32string_view text);

/// A token with a meaning of its own that is found in a text as it is written.
struct SpecialToken {
    std::string text;
    bool normalized = false;  // found after normalization, so whatever its case
};

/// The special tokens of a CLIP tokenizer and the length of its output.
struct TokenizerConfig {
    SpecialToken start{"<|startoftext|>"};
    SpecialToken end{"<|endoftext|>"};
    SpecialToken unknown{"<|endoftext|>"};
    SpecialToken pad{"<|endoftext|>"};  // "!" in some models
    int64_t max_length = 77;
};

/// CLIP's byte-level BPE, the same ids as transformers' CLIPTokenizer for any text: special tokens
/// are cut out, then NFC, white space runs to one blank, lower case, the CLIP split pattern over
/// Unicode letters and digits, bytes as printable characters, merges by rank with "</w>" at word
/// ends. Bytes that are no UTF-8 count as U+FFFD. Thread-safe: yes (immutable).
class Tokenizer {
  public:
    /// @param vocab   token -> id, ids in [0, 2^31)
    /// @param merges  pairs in the order learned; pairs whose tokens are not in `vocab` are an
    /// Error
    Tokenizer(std::unordered_map<std::string, int64_t> vocab,
              const std::vector<std::pair<std::string, std::string>>& merges,
              const TokenizerConfig& config = {});
    /// Reads vocab.json and merges.txt, or else tokenizer.json, and, where present,
    /// special_tokens_map.json and tokenizer_config.json of a folder.
    static Tokenizer read(const std::filesystem::path& folder);
    /// Reads what those two files of a folder say about special tokens.
    static TokenizerConfig read_config(const std::filesystem::path& folder);

    /// max_length ids: start, the text's (cut to fit), end, padding.
    std::vector<int64_t> encode(std::string_view text) const;
    /// The text's ids alone: no start, end or padding, not cut.
    /// Texts above 2^20 bytes are an Error.
    std::vector<int64_t> tokenize(std::string_view text) const;
    /// Number of ids encode would need without cutting, start and end included.
    int64_t length(std::string_view text) const;

    int64_t start_id() const { return start_; }

    int64_t end_id() const { return end_; }

    int64_t pad_id() const { return pad_; }

    int64_t max_length() const { return max_length_; }

    /// One more than the largest id.
    int64_t vocab_size() const { return vocab_size_; }

  private:
    struct Merge {
        int64_t rank;
        int64_t result;
    };

    struct Special {
        std::u32string text;
        int64_t id;
        bool normalized;
    };

    // A part of a text: a special token, or what lies between two.
    struct Piece {
        std::u32string_view text;
        const Special* special;
    };

    int64_t id_of(const std::string& token) const;
    void add_special(const SpecialToken& token);
    std::vector<Piece> cut(std::u32string_view text, bool normalized) const;
    void append_words(std::u32string_view text, std::vector<int64_t>& ids) const;
    void append_word(std::u32string_view word, std::vector<int64_t>& ids) const;
    std::vector<int64_t> merged(std::vector<int64_t> symbols) const;

    std::unordered_map<std::string, int64_t> vocab_;
    std::unordered_map<uint64_t, Merge> merges_;  // (left id << 32 | right id) -> merge
    std::array<int64_t, 512> byte_ids_{};  // bytes, then bytes with "</w>"; unknown's without
    std::vector<Special> specials_;
    int64_t start_ = 0;
    int64_t end_ = 0;
    int64_t pad_ = 0;
    int64_t unknown_ = 0;
    int64_t max_length_ = 77;
    int64_t vocab_size_ = 0;
};

}  // namespace weft
