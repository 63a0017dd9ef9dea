#include "diffusion/tokenizer.h"

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

using namespace weft;
namespace fs = std::filesystem;

namespace {

const fs::path folder = fs::path(WEFT_SOURCE_DIR) / "tests/parity/tokenizer";

// The committed vocabulary with one of the ways to write special tokens.
Tokenizer tokenizer_with(const std::string& special) {
    const fs::path copy = fs::temp_directory_path() / ("weft-tokenizer-" + special);
    fs::create_directories(copy);
    const auto over = fs::copy_options::overwrite_existing;
    for (const char* name : {"vocab.json", "merges.txt"})
        fs::copy_file(folder / name, copy / name, over);
    fs::copy_file(folder / ("special_" + special + ".json"), copy / "tokenizer_config.json", over);
    Tokenizer tokenizer = Tokenizer::read(copy);
    fs::remove_all(copy);
    return tokenizer;
}

std::string from_hex(const std::string& hex) {
    std::string bytes;
    if (hex != "-")
        for (size_t i = 0; i + 1 < hex.size(); i += 2)
            bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    return bytes;
}

}  // namespace

TEST_CASE("ids equal transformers' CLIPTokenizer", "[parity]") {
    std::map<std::string, Tokenizer> tokenizers;
    for (const char* special : {"plain", "objects", "bang"})
        tokenizers.emplace(special, tokenizer_with(special));
    std::ifstream cases(folder / "ids.txt");
    std::string line;
    int count = 0;
    while (std::getline(cases, line)) {
        std::istringstream fields(line);
        std::string special;
        std::string hex;
        fields >> special >> hex;
        const Tokenizer& tokenizer = tokenizers.at(special);
        std::vector<int64_t> expected{std::istream_iterator<int64_t>(fields), {}};
        expected.resize(77, tokenizer.pad_id());
        INFO(special << " " << hex);
        CHECK(tokenizer.encode(from_hex(hex)) == expected);
        ++count;
    }
    CHECK(count > 600);
}
