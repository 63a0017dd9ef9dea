#include "diffusion/prompt_encoding.h"

#include <algorithm>

namespace weft {

namespace {

// ids [n * chunks, length]
torch::Tensor ids_of(const ChunkedPrompts& prompts) {
    std::vector<int64_t> ids;
    int64_t rows = 0;
    for (const auto& chunks : prompts) {
        for (const PromptChunk& chunk : chunks) {
            ids.insert(ids.end(), chunk.ids.begin(), chunk.ids.end());
            ++rows;
        }
    }
    return torch::tensor(ids, torch::kInt64).view({rows, -1});
}

bool is_plain(const PromptChunk& chunk) {
    return std::all_of(chunk.weights.begin(), chunk.weights.end(),
                       [](float weight) { return weight == 1; });
}

// Weights the rows [n * chunks, length, d] that ask for it.
torch::Tensor weighted(torch::Tensor states, const ChunkedPrompts& prompts) {
    int64_t row = 0;
    for (const auto& chunks : prompts) {
        for (const PromptChunk& chunk : chunks) {
            if (!is_plain(chunk)) {
                const torch::Tensor weights = torch::tensor(chunk.weights).to(states);
                states[row].copy_(emphasised(states[row], weights));
            }
            ++row;
        }
    }
    return states;
}

torch::Tensor chosen_states(const ClipTextModel& model, const TextStates& states,
                            const PromptEncoding& encoding) {
    if (!encoding.normalised)
        return states.hidden_state;
    return encoding.skip_layers == 0 ? states.last_hidden_state
                                     : model.normalised(states.hidden_state);
}

}  // namespace

size_t most_chunks(const ChunkedPrompts& prompts) {
    size_t most = 1;
    for (const auto& chunks : prompts) most = std::max(most, chunks.size());
    return most;
}

ChunkedPrompts padded_chunks(ChunkedPrompts prompts, const Tokenizer& tokenizer, size_t count) {
    const PromptChunk empty = chunk_prompt(tokenizer, "").front();
    for (auto& chunks : prompts) chunks.resize(count, empty);
    return prompts;
}

torch::Tensor emphasised(const torch::Tensor& states, const torch::Tensor& weights) {
    const torch::Tensor scaled = states * weights.unsqueeze(-1);
    return scaled * (states.mean() / scaled.mean());
}

PromptStates encode_prompts(const ClipTextModel& model, const ChunkedPrompts& prompts,
                            const PromptEncoding& encoding, torch::Device device) {
    TORCH_CHECK(!prompts.empty() && !prompts.front().empty(), "no prompts to encode");
    const auto n = static_cast<int64_t>(prompts.size());
    const auto chunks = static_cast<int64_t>(prompts.front().size());
    for (const auto& own : prompts)
        TORCH_CHECK(own.size() == prompts.front().size(), own.size(), " chunks beside ", chunks);
    const TextStates states =
        model(ids_of(prompts).to(device),
              {.added_tokens = encoding.added_tokens, .skip_layers = encoding.skip_layers});
    const torch::Tensor rows =
        weighted(chosen_states(model, states, encoding), prompts);  // [n * chunks, length, d]
    return {.states = rows.view({n, chunks * rows.size(1), rows.size(2)}),
            .pooled = states.pooled.view({n, chunks, -1}).select(1, 0)};
}

}  // namespace weft
