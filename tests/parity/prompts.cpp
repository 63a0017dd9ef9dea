#include <catch2/catch.hpp>

#include "diffusion/model.h"
#include "diffusion/prompt_encoding.h"
#include "diffusion/textual_inversion.h"
#include "io/files/model_folder.h"
#include "tests/parity/layered_model.h"
#include "tests/parity/reference.h"

using namespace weft;

namespace {

const std::string folder = std::string(WEFT_SOURCE_DIR) + "/tests/parity";

std::vector<LearnedWord> words_of(const Config& config) {
    std::vector<LearnedWord> words;
    if (config.has("embeddings"))
        for (const std::string& name : config.texts("embeddings"))
            for (const LearnedWord& word :
                 read_learned_words(parse_embedding(folder + "/embeddings/" + name)))
                words.push_back(word);
    return words;
}

}  // namespace

TEST_CASE("prompts become what diffusers and the web UI's rules make of them", "[parity][prompt]") {
    const torch::NoGradGuard inference;
    const ModelFolder model(folder + "/models/sd");
    const Tokenizer tokenizer = Tokenizer::read(model.path() / "tokenizer");
    const ClipTextConfig text = read_clip_text_config(model.config("text_encoder"));
    const std::string path = folder + "/prompts.safetensors";
    const ClipTextModel encoder(text, Weights::load({path}).scope("model"));
    const SafeTensors file(path);
    CHECK(file.metadata().size() == 33);
    for (const auto& [name, options] : file.metadata()) {
        INFO(options);
        const Config config = Config::parse(options, name);
        if (config.has("model"))
            continue;
        const WordTable words =
            word_table(words_of(config), {.tokenizer = tokenizer, .config = text});
        const PromptStates ours =
            encode_prompts(encoder, {chunk_prompt(tokenizer, config.text("prompt"), words.tokens)},
                           {.skip_layers = config.integer("clip_skip", {1, 3}, 1) - 1,
                            .added_tokens = words.vectors},
                           torch::kCPU);
        const torch::Tensor theirs = file.tensor(name + "/states");
        const double size = std::max(1.0, theirs.abs().max().item<double>());
        CHECK(max_error(ours.states[0], theirs) / size <= 1e-5);
    }
}

TEST_CASE("SDXL's two encoders see the same prompt", "[parity][prompt]") {
    const LayeredModel files({"models/sd", "families/sdxl"});
    const SafeTensors file(folder + "/prompts.safetensors");
    int cases = 0;
    for (const auto& [name, options] : file.metadata()) {
        const Config config = Config::parse(options, name);
        if (!config.has("model"))
            continue;
        INFO(options);
        ++cases;
        ModelOptions with;
        if (config.has("embeddings"))
            for (const std::string& word : config.texts("embeddings"))
                with.embeddings.push_back(parse_embedding(folder + "/embeddings/" + word));
        const auto model =
            DiffusionModel::load(files.path(), {.device = "cpu", .dtype = "f32"}, with);
        const TextCondition ours = model->encode_text({config.text("prompt")});
        CHECK(max_error(ours.states[0], file.tensor(name + "/states")) <= 1e-4);
        CHECK(max_error(ours.pooled[0], file.tensor(name + "/pooled")) <= 1e-4);
    }
    CHECK(cases == 5);
}
