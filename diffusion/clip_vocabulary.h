#pragma once

#include <filesystem>

#include "diffusion/tokenizer.h"

namespace weft {

/// CLIP's vocabulary, for single-file checkpoints, which carry none. `./dev setup` unpacks it from
/// the PyPI package open_clip_torch (bpe_simple_vocab_16e6.txt).

/// The file, where there is one: $WEFT_VOCAB, else share/weft/clip_vocabulary.txt beside the
/// program's folder, else under the build tree. Error saying how to get it otherwise.
std::filesystem::path find_clip_vocabulary();

/// The tokenizer of such a file: ids 0 to 255 are CLIP's symbols of the bytes, the next 256 the
/// same at a word's end, then one for each pair of tokens that a line merges (after the first line,
/// which is a title), at most 48894 as in CLIP's own tokenizer, then the start and the end token.
/// Error where it is no such file.
/// @param pad "<|endoftext|>" for CLIP-L, "!" for OpenCLIP's models
Tokenizer read_clip_vocabulary(const std::filesystem::path& path, const std::string& pad);

/// The text of vocab.json and merges.txt that give the same tokenizer.
struct TokenizerTexts {
    std::string vocab_json;
    std::string merges;
};

TokenizerTexts clip_vocabulary_texts(const std::filesystem::path& path);

}  // namespace weft
