#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "io/files/model_folder.h"

namespace weft {

/// The special tokens of a CLIP tokenizer and the length of its output.
struct TokenizerConfig {
    std::string start = "<|startoftext|>";
    std::string end = "<|endoftext|>";
    std::string pad = "<|endoftext|>";  // "!" in some models
    std::string unknown = "<|endoftext|>";
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
              TokenizerConfig config = {});
    /// Reads vocab.json, merges.txt and, where present, special_tokens_map.json and
    /// tokenizer_config.json of a folder.
    static Tokenizer read(const std::filesystem::path& folder);

    /// max_length ids: start, the text's (cut to fit), end, padding.
    std::vector<int64_t> encode(std::string_view text) const;
    /// The text's ids alone: no start, end or padding, not cut.
    std::vector<int64_t> tokenize(std::string_view text) const;
    /// Number of ids encode would need without cutting, start and end included.
    int64_t length(std::string_view text) const;

    int64_t start_id() const { return start_; }

    int64_t end_id() const { return end_; }

    int64_t pad_id() const { return pad_; }

    int64_t max_length() const { return config_.max_length; }

    /// One more than the largest id.
    int64_t vocab_size() const { return vocab_size_; }

  private:
    void append_words(std::string_view text, std::vector<int64_t>& ids) const;
    void append_word(std::string_view word, std::vector<int64_t>& ids) const;

    struct Merge {
        int64_t rank;
        int64_t result;
    };

    TokenizerConfig config_;
    std::unordered_map<std::string, int64_t> vocab_;
    std::unordered_map<uint64_t, Merge> merges_;  // (left id << 32 | right id) -> merge
    std::vector<int64_t> byte_ids_;               // [512]: byte, byte with "</w>"; -1 not in vocab
    std::vector<std::pair<std::string, int64_t>> specials_;
    int64_t start_ = 0;
    int64_t end_ = 0;
    int64_t pad_ = 0;
    int64_t unknown_ = 0;
    int64_t vocab_size_ = 0;
};

}  // namespace weft
