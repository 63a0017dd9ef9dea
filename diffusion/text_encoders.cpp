#include "diffusion/text_encoders.h"

#include <algorithm>
#include <array>
#include <utility>

#include "diffusion/low_rank.h"
#include "io/files/error.h"

namespace weft {
namespace {

// The tokenizer's ids must be the encoder's.
void check_ids(const TextEncoders::Tower& tower, const std::string& where) {
    const ClipTextConfig& text = tower.model.config();
    const Tokenizer& tokenizer = tower.tokenizer;
    if (tokenizer.vocab_size() > text.vocab_size ||
        tokenizer.max_length() > text.max_position_embeddings)
        throw Error(where, c10::str("the tokenizer makes ", tokenizer.max_length(), " ids below ",
                                    tokenizer.vocab_size(), ", the text encoder takes ",
                                    text.max_position_embeddings, " below ", text.vocab_size));
}

}  // namespace

TextEncoders::TextEncoders(const ModelSource& source, ModelWeights& weights, const UnetConfig& unet,
                           torch::Device device, const TextOptions& options)
    : pooled_(unet.addition_embed_type == "text_time"),
      zeros_for_empty_(pooled_ && source.index().flag("force_zeros_for_empty_prompt", true)),
      clip_skip_(options.clip_skip),
      device_(device) {
    constexpr std::array<std::pair<const char*, const char*>, 2> names{
        {{"tokenizer", "text_encoder"}, {"tokenizer_2", "text_encoder_2"}}};
    for (const auto& [tokenizer, encoder] : names) {
        if (source.has(encoder))
            towers_.push_back({source.tokenizer(tokenizer),
                               ClipTextModel(read_clip_text_config(source.config(encoder)),
                                             weights.open(encoder, {device, torch::kFloat32}))});
    }
    check(source.path().string(), unet);
    check_clip_skip();
    for (size_t i = 0; i < towers_.size(); ++i)
        towers_[i].words = word_table(options.words, {.tokenizer = towers_[i].tokenizer,
                                                      .config = towers_[i].model.config(),
                                                      .index = i,
                                                      .count = towers_.size()});
}

// One layer is left at least; SDXL's 1 is the penultimate.
void TextEncoders::check_clip_skip() const {
    for (const Tower& tower : towers_) {
        const int64_t layers = tower.model.config().num_hidden_layers;
        const int64_t most = pooled_ ? std::max<int64_t>(layers - 1, 1) : layers;
        if (clip_skip_ < 1 || clip_skip_ > most)
            throw UsageError(
                "--clip-skip",
                c10::str(clip_skip_, " is too many for a text encoder of ", layers, " layers"),
                c10::str("give 1 to ", most));
    }
}

void TextEncoders::check(const std::string& where, const UnetConfig& unet) const {
    if (towers_.empty())
        throw Error(where, "has no text encoder", "the model is incomplete; fetch it again");
    int64_t width = 0;
    for (const Tower& tower : towers_) {
        check_ids(tower, where);
        width += tower.model.config().hidden_size;
    }
    if (!pooled_)
        width = towers_.front().model.config().hidden_size;
    if (width != unet.cross_attention_dim.front())
        throw Error(where, c10::str("the text encoder's states are ", width,
                                    " wide, the unet expects ", unet.cross_attention_dim.front()));
}

TextCondition TextEncoders::encode(const std::vector<std::string>& texts,
                                   const torch::Tensor& loras) const {
    const torch::NoGradGuard no_gradients;
    const auto n = static_cast<int64_t>(texts.size());
    TORCH_CHECK(!loras.defined() || loras.size(0) == 1 || loras.size(0) == n, "LoRA strengths ",
                loras.sizes(), " for ", n, " texts");
    const size_t used = pooled_ ? towers_.size() : 1;
    std::vector<ChunkedPrompts> chunked(used);
    size_t most = 1;
    for (size_t i = 0; i < used; ++i) {
        for (const std::string& text : texts)
            chunked[i].push_back(chunk_prompt(towers_[i].tokenizer, text, towers_[i].words.tokens));
        most = std::max(most, most_chunks(chunked[i]));
    }
    // The encoders run n * most rows, the chunks of a text one after another.
    torch::Tensor by_row = loras.defined() ? loras.to(device_) : loras;
    if (by_row.defined() && by_row.size(0) > 1)
        by_row = by_row.repeat_interleave(static_cast<int64_t>(most), 0);
    const LoraStrengths strengths(by_row);
    std::vector<torch::Tensor> side_by_side;
    TextCondition out{.loras = loras};
    for (size_t i = 0; i < used; ++i) {
        const Tower& tower = towers_[i];
        const PromptStates states =
            encode_prompts(tower.model, padded_chunks(chunked[i], tower.tokenizer, most),
                           {.skip_layers = pooled_ ? clip_skip_ : clip_skip_ - 1,
                            .normalised = !pooled_,
                            .added_tokens = tower.words.vectors},
                           device_);
        side_by_side.push_back(states.states);
        out.pooled = pooled_ ? states.pooled : torch::Tensor();
    }
    out.states = used == 1 && !pooled_ ? side_by_side.front() : torch::cat(side_by_side, -1);
    return out;
}

void TextEncoders::match_lengths(TextCondition& a, TextCondition& b) const {
    if (!a.defined() || !b.defined())
        return;
    const int64_t tokens = std::max(a.states.size(1), b.states.size(1));
    lengthen(a, tokens);
    lengthen(b, tokens);
}

void TextEncoders::lengthen(TextCondition& condition, int64_t tokens) const {
    const int64_t missing = tokens - condition.states.size(1);
    if (missing == 0)
        return;
    const auto is_zero = !condition.states.any().item<bool>();
    const bool alike = !condition.loras.defined() || condition.loras.size(0) == 1;
    const std::vector<std::string> nothing(static_cast<size_t>(alike ? 1 : condition.size()));
    const torch::Tensor empty = encode(nothing, condition.loras).states;  // [1 or n, t, d]
    TORCH_CHECK(missing % empty.size(1) == 0, missing, " tokens in chunks of ", empty.size(1));
    const torch::Tensor chunks =
        (is_zero ? torch::zeros_like(empty) : empty)
            .repeat({alike ? condition.size() : 1, missing / empty.size(1), 1});
    condition.states = torch::cat({condition.states, chunks.to(condition.states)}, 1);
}

TextCondition TextEncoders::encode_negative(const std::vector<std::string>& texts,
                                            const torch::Tensor& loras) const {
    TextCondition out = encode(texts, loras);
    for (size_t i = 0; zeros_for_empty_ && i < texts.size(); ++i) {
        if (texts[i].empty()) {
            out.states[static_cast<int64_t>(i)].zero_();
            out.pooled[static_cast<int64_t>(i)].zero_();
        }
    }
    return out;
}

}  // namespace weft
