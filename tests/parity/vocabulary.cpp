#include <catch2/catch.hpp>
#include <filesystem>

#include "diffusion/clip_vocabulary.h"
#include "io/files/config.h"

using namespace weft;

TEST_CASE("CLIP's own vocabulary gives the ids that transformers gives", "[clip_vocabulary]") {
    const Tokenizer tokenizer = read_clip_vocabulary(find_clip_vocabulary(), "<|endoftext|>");
    CHECK(tokenizer.vocab_size() == 49408);
    CHECK(tokenizer.start_id() == 49406);
    CHECK(tokenizer.end_id() == 49407);
    const Config cases =
        Config::read(std::filesystem::path(WEFT_SOURCE_DIR) / "tests/parity/clip_ids.json");
    CHECK(cases.keys().size() == 20);
    for (const std::string& key : cases.keys()) {
        const Config one = cases.object(key);
        INFO(one.text("text"));
        CHECK(tokenizer.encode(one.text("text")) == one.integers("ids", {0, 49407}));
    }
}
