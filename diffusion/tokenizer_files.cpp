#include <c10/util/StringUtil.h>

#include <sstream>

#include "diffusion/tokenizer.h"
#include "io/files/config.h"
#include "io/files/error.h"
#include "io/files/regular_file.h"

namespace weft {

namespace {

constexpr int64_t max_tokens = 1 << 20;

std::unordered_map<std::string, int64_t> read_vocab(const std::filesystem::path& path) {
    const Config config = Config::read(path);
    std::unordered_map<std::string, int64_t> vocab;
    for (const std::string& token : config.keys())
        vocab[token] = config.integer(token, {0, max_tokens});
    return vocab;
}

// Lines "left right" after an optional "#version" line.
std::vector<std::pair<std::string, std::string>> read_merges(const std::filesystem::path& path) {
    constexpr int64_t limit_bytes = 64 << 20;
    const RegularFile file(path);
    if (file.size_bytes() > limit_bytes)
        throw Error(path.string(), "is too large for a list of merges");
    std::istringstream lines(file.head(file.size_bytes()));
    std::vector<std::pair<std::string, std::string>> merges;
    std::string line;
    for (int64_t number = 1; std::getline(lines, line); ++number) {
        if (!line.empty() && line.back() == '\r')
            line.pop_back();
        if (line.empty() || (number == 1 && line.starts_with("#version")))
            continue;
        const size_t blank = line.find(' ');
        const bool two = blank != std::string::npos && blank > 0 && blank + 1 < line.size() &&
                         line.find(' ', blank + 1) == std::string::npos;
        if (!two || number > max_tokens)
            throw Error(path.string(), c10::str("line ", number, " is no pair of tokens"),
                        "merges.txt holds one pair a line, best first");
        merges.emplace_back(line.substr(0, blank), line.substr(blank + 1));
    }
    return merges;
}

// A token is written as a text or as an object with its text under "content".
void read_special(const Config& config, const std::string& key, SpecialToken& token) {
    if (!config.has(key))
        return;
    if (config.is_text(key)) {
        token = {config.text(key), false};
    } else {
        const Config object = config.object(key);
        token = {object.text("content"), object.flag("normalized", false)};
    }
}

// Newer files list the tokens by id; their flags count above the others.
void apply_added_tokens(const Config& config, const std::vector<SpecialToken*>& tokens) {
    const Config added = config.object("added_tokens_decoder");
    for (const std::string& id : added.keys()) {
        const Config entry = added.object(id);
        for (SpecialToken* token : tokens)
            if (token->text == entry.text("content"))
                token->normalized = entry.flag("normalized", false);
    }
}

}  // namespace

TokenizerConfig Tokenizer::read_config(const std::filesystem::path& folder) {
    TokenizerConfig out;
    for (const char* name : {"special_tokens_map.json", "tokenizer_config.json"}) {
        if (!std::filesystem::exists(folder / name))
            continue;
        const Config config = Config::read(folder / name);
        read_special(config, "bos_token", out.start);
        read_special(config, "eos_token", out.end);
        read_special(config, "unk_token", out.unknown);
        read_special(config, "pad_token", out.pad);
        apply_added_tokens(config, {&out.start, &out.end, &out.unknown, &out.pad});
        // Tokenizers without a limit of their own say 1e30.
        const double length = config.number("model_max_length", {2, 1e31}, 77);
        out.max_length = length <= 4096 ? static_cast<int64_t>(length) : 77;
    }
    return out;
}

Tokenizer Tokenizer::read(const std::filesystem::path& folder) {
    for (const char* name : {"vocab.json", "merges.txt"})
        if (!std::filesystem::exists(folder / name))
            throw Error((folder / name).string(), "there is no such file",
                        "a CLIP tokenizer needs vocab.json and merges.txt");
    return {read_vocab(folder / "vocab.json"), read_merges(folder / "merges.txt"),
            read_config(folder)};
}

}  // namespace weft
