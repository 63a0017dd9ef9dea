#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "diffusion/tokenizer.h"

namespace weft {

/// A run of prompt text whose words share a weight.
struct PromptPart {
    std::string text;
    double weight = 1;
    bool starts_chunk = false;  // a BREAK stands before it

    friend bool operator==(const PromptPart&, const PromptPart&) = default;
};

/// Reads the emphasis syntax of AUTOMATIC1111's web UI (modules/prompt_parser.py,
/// parse_prompt_attention):
///   (word)      weight 1.1; brackets nest and multiply, so ((word)) is 1.21
///   (word:1.3)  weight 1.3, any number, also negative
///   [word]      weight 1/1.1
///   BREAK       as a word of its own: what follows starts a new chunk of tokens
///   \( \) \[ \] \\  these characters themselves
/// A bracket left open counts to the end, one that closes nothing is text, so every text is a
/// prompt. Neighbours of equal weight are joined. Never empty.
std::vector<PromptPart> parse_prompt(std::string_view prompt);

/// A word of the user's own (textual inversion) and the ids it stands for.
struct AddedToken {
    std::string name;
    std::vector<int64_t> ids;  // each above the text encoder's vocabulary
};

/// What the text encoder takes at once: tokenizer.max_length() ids (start, up to 75 tokens, end,
/// padding) and their weights, which are 1 but for the text's own tokens.
struct PromptChunk {
    std::vector<int64_t> ids;
    std::vector<float> weights;
};

/// Cuts a prompt into chunks of max_length - 2 tokens (75) by the web UI's rule
/// (modules/sd_hijack_clip.py, tokenize_line): a chunk is filled to the end, but where one of its
/// last 20 tokens is a comma, what follows that comma moves to the next chunk. A word of `added` is
/// found as it is written, ASCII case aside, where no letter or digit continues it, longest first;
/// its ids stay in one chunk. At least one chunk; one that fits is what Tokenizer::encode makes.
std::vector<PromptChunk> chunk_prompt(const Tokenizer& tokenizer, std::string_view prompt,
                                      std::span<const AddedToken> added = {});

}  // namespace weft
