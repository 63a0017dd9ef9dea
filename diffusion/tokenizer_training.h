#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "diffusion/tokenizer.h"

namespace weft {

/// What a tokenizer is made of. Tokens in id order: 256 bytes, 256 bytes with "</w>", one a merge,
/// then the start and end tokens (CLIP's order).
struct LearnedBpe {
    std::vector<std::string> vocab;
    std::vector<std::pair<std::string, std::string>> merges;
};

/// Learns up to `merges` merges from captions (Sennrich et al., arXiv 1508.07909): the most
/// frequent neighbouring pair first, ties by the lower ids, until no pair is seen twice.
/// Deterministic.
LearnedBpe learn_bpe(const std::vector<std::string>& captions, int64_t merges);

Tokenizer make_tokenizer(const LearnedBpe& bpe, const TokenizerConfig& config = {});

/// Writes vocab.json, merges.txt, tokenizer_config.json and special_tokens_map.json, which
/// Tokenizer::read and transformers' CLIPTokenizer load. The folder must exist.
void save_tokenizer(const LearnedBpe& bpe, const std::filesystem::path& folder,
                    const TokenizerConfig& config = {});

}  // namespace weft
