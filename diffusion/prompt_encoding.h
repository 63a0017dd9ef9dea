#pragma once

#include <torch/types.h>

#include <vector>

#include "diffusion/clip.h"
#include "diffusion/prompt.h"

namespace weft {

/// What the chunks of n prompts become in one text encoder of width d.
struct PromptStates {
    torch::Tensor states;  // [n, chunks * length, d], the chunks of a prompt one after another
    torch::Tensor pooled;  // [n, d or projection_dim] of each prompt's first chunk
};

struct PromptEncoding {
    /// Layers before the end whose states are taken, in [0, num_hidden_layers]; 1 is the
    /// penultimate layer.
    int64_t skip_layers = 0;
    /// The final layer norm is applied to the states: yes for Stable Diffusion, also on skipped
    /// layers, no for SDXL, which was trained on bare ones.
    bool normalised = true;
    /// [k, d]: vectors of the ids above the vocabulary.
    torch::Tensor added_tokens = {};
};

/// The chunks of n prompts, one list a prompt.
using ChunkedPrompts = std::vector<std::vector<PromptChunk>>;

/// Most chunks of any prompt, at least 1.
size_t most_chunks(const ChunkedPrompts& prompts);

/// Every list made `count` long by empty chunks (no text between start and end).
ChunkedPrompts padded_chunks(ChunkedPrompts prompts, const Tokenizer& tokenizer, size_t count);

/// Encodes every chunk on its own and joins them. Weights act on the states as in AUTOMATIC1111's
/// web UI (modules/sd_emphasis.py, EmphasisOriginal): each token's states times its weight, then
/// all states of the chunk times one number that gives them their former mean. The mean is the
/// chunk's own, so that a prompt's states do not depend on what it is encoded with. Chunks whose
/// weights are all 1 are left as the encoder gave them, bit for bit.
PromptStates encode_prompts(const ClipTextModel& model, const ChunkedPrompts& prompts,
                            const PromptEncoding& encoding, torch::Device device);

/// states [t, d], weights [t]: the rule above for one chunk.
torch::Tensor emphasised(const torch::Tensor& states, const torch::Tensor& weights);

}  // namespace weft
