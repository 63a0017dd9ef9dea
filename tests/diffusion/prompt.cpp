#include "diffusion/prompt.h"

#include <catch2/catch.hpp>

#include "diffusion/prompt_encoding.h"
#include "diffusion/tokenizer_training.h"

using namespace weft;

namespace {

using Parts = std::vector<PromptPart>;

bool reads(const std::string& prompt, const Parts& parts) {
    return parse_prompt(prompt) == parts;
}

// One token a letter (and the comma), so that places are easy to count.
Tokenizer letters() {
    return make_tokenizer(learn_bpe({}, 0));
}

ClipTextModel encoder_for(const Tokenizer& tokenizer) {
    ClipTextConfig config;
    config.vocab_size = tokenizer.vocab_size();
    config.hidden_size = 8;
    config.intermediate_size = 16;
    config.num_hidden_layers = 3;
    config.num_attention_heads = 2;
    config.eos_token_id = tokenizer.end_id();
    return {config, Weights::create(5)};
}

PromptStates encoded(const Tokenizer& tokenizer, const ClipTextModel& model,
                     const std::vector<std::string>& prompts, const PromptEncoding& encoding = {}) {
    ChunkedPrompts chunks;
    for (const std::string& prompt : prompts) chunks.push_back(chunk_prompt(tokenizer, prompt));
    const size_t most = most_chunks(chunks);
    return encode_prompts(model, padded_chunks(chunks, tokenizer, most), encoding, torch::kCPU);
}

std::string spaced(const std::string& letter, int64_t count) {
    std::string text;
    for (int64_t i = 0; i < count; ++i) text += letter + " ";
    return text;
}

// Number of tokens of the text in each chunk.
std::vector<int64_t> fill(const Tokenizer& tokenizer, const std::string& prompt) {
    std::vector<int64_t> counts;
    for (const PromptChunk& chunk : chunk_prompt(tokenizer, prompt)) {
        CHECK(chunk.ids.size() == 77);
        CHECK(chunk.weights.size() == 77);
        CHECK(chunk.ids.front() == tokenizer.start_id());
        const auto end = std::find(chunk.ids.begin(), chunk.ids.end(), tokenizer.end_id());
        counts.push_back(end - chunk.ids.begin() - 1);
    }
    return counts;
}

}  // namespace

TEST_CASE("brackets weigh words", "[prompt]") {
    CHECK(reads("a red ball", {{"a red ball"}}));
    CHECK(reads("", {{""}}));
    CHECK(reads("a (red) ball", {{"a "}, {"red", 1.1}, {" ball"}}));
    CHECK(reads("((red))", {{"red", 1.1 * 1.1}}));
    CHECK(reads("[red]", {{"red", 1 / 1.1}}));
    CHECK(reads("(red:1.3)", {{"red", 1.3}}));
    CHECK(reads("(a (b:2) c: 0.5 )", {{"a ", 0.5}, {"b", 1}, {" c", 0.5}}));
    CHECK(reads("(a:-1)", {{"a", -1}}));
    CHECK(reads("(a", {{"a", 1.1}}));
}

TEST_CASE("what is no bracket pair is text", "[prompt]") {
    CHECK(reads("\\(a\\) \\[b\\] \\\\", {{"(a) [b] \\"}}));
    CHECK(reads("a) b] c:1.3)", {{"a) b] c:1.3)"}}));
    CHECK(reads("16:9, 12:30", {{"16:9, 12:30"}}));
    CHECK(reads("(a:1.2.3)", {{"a:1.2.3", 1.1}}));
    CHECK(reads("\\", {{""}}));
    const std::string hostile(1 << 18, '(');
    CHECK(reads(hostile, {{""}}));
    CHECK(parse_prompt(std::string(1 << 18, ':')).size() == 1);
}

TEST_CASE("BREAK cuts only as a word", "[prompt]") {
    CHECK(reads("a BREAK b", {{"a"}, {"b", 1, true}}));
    CHECK(reads("(a BREAK b:2)", {{"a", 2}, {"b", 2, true}}));
    CHECK(reads("BREAKFAST unBREAK break", {{"BREAKFAST unBREAK break"}}));
    CHECK(reads("a\nBREAK\n", {{"a"}, {"", 1, true}}));
}

TEST_CASE("a chunk holds 75 tokens and ends at a near comma", "[prompt]") {
    const Tokenizer tokenizer = letters();
    CHECK(fill(tokenizer, "") == std::vector<int64_t>{0});
    CHECK(fill(tokenizer, spaced("a", 75)) == std::vector<int64_t>{75});
    CHECK(fill(tokenizer, spaced("a", 76)) == std::vector<int64_t>{75, 1});
    CHECK(fill(tokenizer, spaced("a", 60) + ", " + spaced("b", 20)) ==
          std::vector<int64_t>{61, 20});
    // 21 tokens behind the comma are too many to move.
    CHECK(fill(tokenizer, spaced("a", 53) + ", " + spaced("b", 30)) == std::vector<int64_t>{75, 9});
    CHECK(fill(tokenizer, spaced("a", 75) + ", b") == std::vector<int64_t>{75, 2});
    CHECK(fill(tokenizer, "a BREAK b") == std::vector<int64_t>{1, 1});
}

TEST_CASE("a prompt that fits is what the tokenizer alone makes", "[prompt]") {
    const Tokenizer tokenizer = letters();
    for (const std::string text : {"", "a red ball", "caf\xc3\xa9, 16:9", "BREAKs"}) {
        const auto chunks = chunk_prompt(tokenizer, text);
        REQUIRE(chunks.size() == 1);
        CHECK(chunks.front().ids == tokenizer.encode(text));
        CHECK(chunks.front().weights == std::vector<float>(77, 1));
    }
}

TEST_CASE("one's own words are found as words, whole and longest first", "[prompt]") {
    const Tokenizer tokenizer = letters();
    const std::vector<AddedToken> added{{"<b>", {900}}, {"my", {901, 902}}, {"my-b", {903}}};
    const auto ids = [&](const std::string& text) {
        std::vector<int64_t> found;
        for (const PromptChunk& chunk : chunk_prompt(tokenizer, text, added))
            for (const int64_t id : chunk.ids)
                if (id >= 900)
                    found.push_back(id);
        return found;
    };
    CHECK(ids("a<b>c, MY ball") == std::vector<int64_t>{900, 901, 902});
    CHECK(ids("my-b my-c") == std::vector<int64_t>{903, 901, 902});
    CHECK(ids("enemy myth \xc3\xa9my").empty());
    const auto weighted = chunk_prompt(tokenizer, "a (my:2)", added).front();
    CHECK(weighted.weights[1] == 1);
    CHECK(weighted.weights[2] == 2);
    CHECK(weighted.weights[3] == 2);
    // Its vectors stay together.
    const auto chunks = chunk_prompt(tokenizer, spaced("a", 74) + "my", added);
    REQUIRE(chunks.size() == 2);
    CHECK(chunks[1].ids[1] == 901);
    CHECK(chunks[1].ids[2] == 902);
}

TEST_CASE("weight 1 is the plain encoding, bit for bit", "[prompt]") {
    const torch::NoGradGuard inference;
    const Tokenizer tokenizer = letters();
    const ClipTextModel model = encoder_for(tokenizer);
    const torch::Tensor plain =
        model(torch::tensor(tokenizer.encode("a ball"), torch::kInt64).unsqueeze(0))
            .last_hidden_state;
    CHECK(encoded(tokenizer, model, {"a ball"}).states.equal(plain));
    CHECK(encoded(tokenizer, model, {"(a ball:1.0)"}).states.equal(plain));
    CHECK_FALSE(encoded(tokenizer, model, {"(a ball:1.01)"}).states.equal(plain));
}

TEST_CASE("weights scale tokens and keep the mean", "[prompt]") {
    const torch::Tensor states = torch::tensor({1.0F, 2.0F, 3.0F, 6.0F}).view({2, 2});
    const torch::Tensor out = emphasised(states, torch::tensor({1.0F, 3.0F}));
    CHECK(out.mean().item<float>() == Approx(3));
    const torch::Tensor ratio = (out / states).flatten();
    CHECK(ratio[3].item<float>() == Approx(3 * ratio[0].item<float>()));
}

TEST_CASE("long prompts are joined chunks, short ones padded by empty chunks", "[prompt]") {
    const torch::NoGradGuard inference;
    const Tokenizer tokenizer = letters();
    const ClipTextModel model = encoder_for(tokenizer);
    const std::string first = spaced("a", 75), rest = spaced("b", 10);
    const PromptStates both = encoded(tokenizer, model, {first + rest, "c"});
    CHECK(both.states.sizes() == at::IntArrayRef({2, 154, 8}));
    CHECK(both.pooled.sizes() == at::IntArrayRef({2, 8}));
    const auto alone = [&](const std::string& text) {
        return encoded(tokenizer, model, {text}).states[0];
    };
    CHECK(torch::allclose(both.states[0].slice(0, 0, 77), alone(first), 0, 1e-6));
    CHECK(torch::allclose(both.states[0].slice(0, 77), alone(rest), 0, 1e-6));
    CHECK(torch::allclose(both.states[1].slice(0, 77), alone(""), 0, 1e-6));
}

TEST_CASE("skipped layers end earlier, with or without the final norm", "[prompt]") {
    const torch::NoGradGuard inference;
    const Tokenizer tokenizer = letters();
    const ClipTextModel model = encoder_for(tokenizer);
    const TextStates states =
        model(torch::tensor(tokenizer.encode("ab"), torch::kInt64).unsqueeze(0));
    const torch::Tensor bare =
        encoded(tokenizer, model, {"ab"}, {.skip_layers = 1, .normalised = false}).states;
    CHECK(bare.equal(states.penultimate_hidden_state));
    CHECK(
        encoded(tokenizer, model, {"ab"}, {.skip_layers = 1}).states.equal(model.normalised(bare)));
    CHECK_FALSE(
        encoded(tokenizer, model, {"ab"}, {.skip_layers = 2}).states.equal(model.normalised(bare)));
}
