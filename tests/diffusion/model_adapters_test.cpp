#include <catch2/catch.hpp>

#include <filesystem>

#include "diffusion/model.h"
#include "diffusion/textual_inversion.h"
#include "diffusion/tokenizer_training.h"
#include "io/files/error.h"
#include "io/files/safetensors.h"

using namespace weft;
namespace fs = std::filesystem;

namespace {

const fs::path parity = fs::path(WEFT_SOURCE_DIR) / "tests/parity";
const DeviceChoice cpu{.device = "cpu", .dtype = "f32"};

std::shared_ptr<const DiffusionModel> sd_with(const ModelOptions& options) {
    return DiffusionModel::load(parity / "models/sd", cpu, options);
}

std::string lora(const std::string& rest) {
    return (parity / "lora").string() + "/" + rest;
}

torch::Tensor denoised(const DiffusionModel& model, const TextCondition& text,
                       const TextCondition& negative = {}) {
    const Denoise denoise = model.denoise(
        {.text = text, .negative = negative, .guidance = negative.defined() ? 3.0 : 1.0});
    return denoise(torch::linspace(-1, 1, 192).view({1, 4, 6, 8}), model.schedule().level(300));
}

struct Folder {
    fs::path path = fs::temp_directory_path() / "weft-embedding-test";

    Folder() { fs::create_directories(path); }

    ~Folder() { fs::remove_all(path); }

    std::string file(const std::string& name, const NamedTensors& tensors) const {
        save_safetensors(path / name, tensors);
        return (path / name).string();
    }
};

std::vector<LearnedWord> words_of(const std::string& text) {
    return read_learned_words(parse_embedding(text));
}

}  // namespace

TEST_CASE("LoRAs change the UNet and the text encoder they name", "[lora]") {
    const auto plain = sd_with({});
    const auto unet = sd_with({.loras = {parse_lora(lora("kohya.safetensors"))}});
    const auto text = sd_with({.loras = {parse_lora(lora("text_kohya.safetensors:0.5"))}});
    const auto none = sd_with({.loras = {parse_lora(lora("kohya.safetensors:0")),
                                         parse_lora(lora("text_kohya.safetensors:0"))}});
    const TextCondition states = plain->encode_text({"a ball"});
    CHECK(unet->encode_text({"a ball"}).states.equal(states.states));
    CHECK_FALSE(text->encode_text({"a ball"}).states.equal(states.states));
    CHECK(none->encode_text({"a ball"}).states.equal(states.states));
    CHECK_FALSE(denoised(*unet, states).equal(denoised(*plain, states)));
    CHECK(denoised(*text, states).equal(denoised(*plain, states)));
    CHECK(denoised(*none, states).equal(denoised(*plain, states)));
    CHECK(unet->notes().empty());
}

TEST_CASE("clip-skip and learned words reach the model's prompts", "[prompt]") {
    const auto plain = sd_with({});
    const auto skipped = sd_with({.clip_skip = 2});
    CHECK_FALSE(skipped->encode_text({"a"}).states.equal(plain->encode_text({"a"}).states));
    CHECK_THROWS_WITH(sd_with({.clip_skip = 3}), Catch::Contains("2 layers"));
    const std::string folder = (parity / "embeddings").string();
    const auto with = sd_with({.embeddings = {parse_embedding(folder + "/many.safetensors")}});
    CHECK(with->encode_text({"a ball"}).states.equal(plain->encode_text({"a ball"}).states));
    CHECK_FALSE(with->encode_text({"<many>"}).states.equal(plain->encode_text({"<many>"}).states));
    // Of a folder's words those that fit are taken.
    const auto folded = sd_with({.embeddings = {parse_embedding(folder)}});
    CHECK(folded->encode_text({"<many>"}).states.equal(with->encode_text({"<many>"}).states));
    CHECK_THROWS_WITH(sd_with({.embeddings = {parse_embedding(folder + "/xl.safetensors:<xl>")}}),
                      Catch::Contains("8 and 12"));
}

TEST_CASE("prompts of different lengths guide together", "[prompt]") {
    const auto model = sd_with({});
    std::string text;
    for (int i = 0; i < 100; ++i) text += "ball ";
    const TextCondition positive = model->encode_text({text});
    CHECK(positive.states.size(1) == 154);
    // BREAKs pad by hand what is padded otherwise.
    const torch::Tensor out = denoised(*model, positive, model->encode_negative({"snow"}));
    const TextCondition by_hand = model->encode_negative({"snow BREAK BREAK"});
    REQUIRE(by_hand.states.size(1) == 154);
    CHECK(torch::allclose(out, denoised(*model, positive, by_hand), 0, 1e-5));
    CHECK_FALSE(
        torch::allclose(out, denoised(*model, positive, model->encode_negative({text})), 0, 1e-5));
}

TEST_CASE("embeddings of all layouts are read", "[prompt]") {
    const std::string folder = (parity / "embeddings").string();
    const auto named = words_of(folder + "/many.safetensors");
    REQUIRE(named.size() == 1);
    CHECK(named[0].name == "<many>");
    CHECK(named[0].vectors[0].sizes() == at::IntArrayRef({3, 16}));
    CHECK(words_of(folder + "/my-style.safetensors")[0].name == "my-style");
    CHECK(words_of(folder + "/my-style.safetensors:<it>")[0].name == "<it>");
    const auto both = words_of(folder + "/both.safetensors");
    REQUIRE(both[0].vectors.size() == 2);
    CHECK(both[0].vectors[1].size(1) == 24);
    CHECK(words_of(folder).size() == 5);
}

TEST_CASE("word tables take the vectors of their encoder", "[prompt]") {
    const Tokenizer tokenizer = make_tokenizer(learn_bpe({"red ball", "red ball"}, 10));
    ClipTextConfig first, second;
    first.hidden_size = 16;
    second.hidden_size = 24;
    first.vocab_size = second.vocab_size = 600;
    const auto words = words_of((parity / "embeddings/both.safetensors").string() + ":<b>");
    const TextTower left{.tokenizer = tokenizer, .config = first, .index = 0, .count = 2};
    const TextTower right{.tokenizer = tokenizer, .config = second, .index = 1, .count = 2};
    CHECK(word_table(words, left).vectors.equal(words[0].vectors[0]));
    const WordTable table = word_table(words, right);
    CHECK(table.vectors.equal(words[0].vectors[1]));
    CHECK(table.tokens[0].ids == std::vector<int64_t>{600, 601});
    // A model with one encoder takes the pair's vectors of its width.
    const TextTower alone{.tokenizer = tokenizer, .config = second};
    CHECK(word_table(words, alone).vectors.equal(words[0].vectors[1]));
    second.hidden_size = 32;
    CHECK_THROWS_WITH(word_table(words, right), Catch::Contains("32"));
    auto twice = words;
    twice.push_back(words[0]);
    twice[1].name = "<B>";
    CHECK_THROWS_WITH(word_table(twice, left), Catch::Contains("again"));
    for (const std::string name : {"red", "a(b)", ""}) {
        auto bad = words;
        bad[0].name = name;
        CHECK_THROWS_WITH(word_table(bad, left), Catch::Contains("FILE:<my-word>"));
    }
}

TEST_CASE("files that are no embeddings are refused", "[prompt]") {
    const Folder folder;
    CHECK_THROWS_AS(parse_embedding("/nowhere.safetensors"), Error);
    CHECK_THROWS_AS(words_of(folder.file("a.safetensors", {{"<a>", torch::ones({76, 4})}})), Error);
    CHECK_THROWS_AS(words_of(folder.file("b.safetensors", {{"<b>", torch::ones({2, 2, 4})}})),
                    Error);
    CHECK_THROWS_WITH(words_of(folder.file("c.safetensors", {{"<c>", torch::full({4}, NAN)}})),
                      Catch::Contains("not finite"));
    const std::string pair =
        folder.file("d.safetensors", {{"<d>", torch::ones({4})}, {"<e>", torch::ones({4})}});
    CHECK(words_of(pair).size() == 2);
    CHECK_THROWS_AS(words_of(pair + ":<x>"), Error);
    CHECK_THROWS_AS(words_of(folder.path.string() + ":<x>"), Error);
}
