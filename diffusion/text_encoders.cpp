#include "diffusion/text_encoders.h"

#include <array>
#include <utility>

#include "io/files/error.h"

namespace weft {
namespace {

// ids [n, t] of one tower's tokenizer.
torch::Tensor token_ids(const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
    std::vector<int64_t> ids;
    for (const std::string& text : texts) {
        const std::vector<int64_t> own = tokenizer.encode(text);
        ids.insert(ids.end(), own.begin(), own.end());
    }
    return torch::tensor(ids, torch::kInt64).view({static_cast<int64_t>(texts.size()), -1});
}

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

TextEncoders::TextEncoders(const ModelSource& source, const UnetConfig& unet, torch::Device device)
    : pooled_(unet.addition_embed_type == "text_time"),
      zeros_for_empty_(pooled_ && source.index().flag("force_zeros_for_empty_prompt", true)),
      device_(device) {
    constexpr std::array<std::pair<const char*, const char*>, 2> names{
        {{"tokenizer", "text_encoder"}, {"tokenizer_2", "text_encoder_2"}}};
    for (const auto& [tokenizer, encoder] : names) {
        if (source.has(encoder))
            towers_.push_back({source.tokenizer(tokenizer),
                               ClipTextModel(read_clip_text_config(source.config(encoder)),
                                             source.weights(encoder, {device, torch::kFloat32}))});
    }
    check(source.path().string(), unet);
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

TextCondition TextEncoders::encode(const std::vector<std::string>& texts) const {
    const torch::NoGradGuard no_gradients;
    if (!pooled_) {
        const Tower& tower = towers_.front();
        return {tower.model(token_ids(tower.tokenizer, texts).to(device_)).last_hidden_state};
    }
    std::vector<torch::Tensor> side_by_side;
    TextCondition out;
    for (const Tower& tower : towers_) {
        const TextStates states = tower.model(token_ids(tower.tokenizer, texts).to(device_));
        side_by_side.push_back(states.penultimate_hidden_state);
        out.pooled = states.pooled;
    }
    out.states = torch::cat(side_by_side, -1);
    return out;
}

TextCondition TextEncoders::encode_negative(const std::vector<std::string>& texts) const {
    TextCondition out = encode(texts);
    for (size_t i = 0; zeros_for_empty_ && i < texts.size(); ++i) {
        if (texts[i].empty()) {
            out.states[static_cast<int64_t>(i)].zero_();
            out.pooled[static_cast<int64_t>(i)].zero_();
        }
    }
    return out;
}

}  // namespace weft
