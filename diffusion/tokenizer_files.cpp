#include <c10/util/StringUtil.h>

#include <sstream>

#include "diffusion/tokenizer.h"
#include "io/files/config.h"
#include "io/files/error.h"
#include "io/files/json_tree.h"
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
    constexpr int64_t limit_bytes = 16 << 20;  // CLIP's has half a MiB
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

struct Vocabulary {
    std::unordered_map<std::string, int64_t> ids;
    std::vector<std::pair<std::string, std::string>> merges;
};

[[noreturn]] void broken(const std::filesystem::path& path, const std::string& what) {
    throw Error(path.string(), what,
                "the file must hold a byte-level BPE as CLIPTokenizer saves it");
}

// The member `name`; broken where it is missing.
const JsonValue& member(const JsonObject& object, const char* name,
                        const std::filesystem::path& path) {
    const JsonValue* found = object.find(name);
    if (found == nullptr)
        broken(path, c10::str("has no '", name, "'"));
    return *found;
}

const JsonList& list_in(const JsonObject& object, const char* name,
                        const std::filesystem::path& path) {
    const JsonList* list = member(object, name, path).list();
    if (list == nullptr)
        broken(path, c10::str("'", name, "' is no list"));
    return *list;
}

const JsonObject& object_in(const JsonObject& object, const char* name,
                            const std::filesystem::path& path) {
    const JsonObject* found = member(object, name, path).object();
    if (found == nullptr)
        broken(path, c10::str("'", name, "' is no object"));
    return *found;
}

const std::string& text_in(const JsonObject& object, const char* name,
                           const std::filesystem::path& path) {
    const auto* text = std::get_if<std::string>(&member(object, name, path).value);
    if (text == nullptr)
        broken(path, c10::str("'", name, "' is no text"));
    return *text;
}

bool flag_in(const JsonObject& object, const char* name, const std::filesystem::path& path) {
    const bool* flag = std::get_if<bool>(&member(object, name, path).value);
    if (flag == nullptr)
        broken(path, c10::str("'", name, "' is neither true nor false"));
    return *flag;
}

// ["left", "right"], or "left right" in older files.
std::pair<std::string, std::string> merge_of(const JsonValue& value,
                                             const std::filesystem::path& path) {
    if (const auto* text = std::get_if<std::string>(&value.value)) {
        const size_t blank = text->find(' ');
        if (blank != std::string::npos)
            return {text->substr(0, blank), text->substr(blank + 1)};
    } else if (const JsonList* list = value.list(); list != nullptr && list->size() == 2) {
        const auto* left = std::get_if<std::string>(&list->front().value);
        const auto* right = std::get_if<std::string>(&list->back().value);
        if (left != nullptr && right != nullptr)
            return {*left, *right};
    }
    broken(path, "a merge is no pair of tokens");
}

std::shared_ptr<const JsonObject> read_object(const std::filesystem::path& path) {
    constexpr int64_t limit_bytes = 16 << 20;  // CLIP's has half a MiB
    const RegularFile file(path);
    if (file.size_bytes() > limit_bytes)
        broken(path, "is too large for a tokenizer");
    return parse_json(file.head(file.size_bytes()), path.string());
}

// tokenizer.json, all that newer releases of transformers save.
Vocabulary read_whole_tokenizer(const std::filesystem::path& path) {
    const auto root = read_object(path);
    const JsonObject& model = object_in(*root, "model", path);
    Vocabulary out;
    auto add = [&](const std::string& token, const JsonValue* id) {
        const int64_t* number = id != nullptr ? std::get_if<int64_t>(&id->value) : nullptr;
        if (number == nullptr || *number < 0 || *number > max_tokens)
            broken(path, c10::str("a token's id is not from 0 to ", max_tokens));
        out.ids[token] = *number;
    };
    for (const auto& [token, id] : object_in(model, "vocab", path).members) add(token, &id);
    for (const JsonValue& merge : list_in(model, "merges", path))
        out.merges.push_back(merge_of(merge, path));
    for (const JsonValue& value : list_in(*root, "added_tokens", path))
        if (const JsonObject* token = value.object())
            add(text_in(*token, "content", path), token->find("id"));
    return out;
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

using SpecialTokens = std::vector<SpecialToken*>;

void apply_flag(const std::string& text, bool normalized, const SpecialTokens& tokens) {
    for (SpecialToken* token : tokens)
        if (token->text == text)
            token->normalized = normalized;
}

// Newer files list the tokens by id; their flags count above the others.
void apply_added_tokens(const Config& config, const SpecialTokens& tokens) {
    const Config added = config.object("added_tokens_decoder");
    for (const std::string& id : added.keys()) {
        const Config entry = added.object(id);
        apply_flag(entry.text("content"), entry.flag("normalized", false), tokens);
    }
}

// The flags of tokenizer.json, where that is all there is.
void apply_whole_tokenizer(const std::filesystem::path& path, const SpecialTokens& tokens) {
    const auto root = read_object(path);
    for (const JsonValue& value : list_in(*root, "added_tokens", path))
        if (const JsonObject* token = value.object())
            apply_flag(text_in(*token, "content", path), flag_in(*token, "normalized", path),
                       tokens);
}

// The folder holds tokenizer.json, but not the classic pair of files.
bool is_whole(const std::filesystem::path& folder) {
    return !std::filesystem::exists(folder / "vocab.json") &&
           std::filesystem::exists(folder / "tokenizer.json");
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
    if (is_whole(folder))
        apply_whole_tokenizer(folder / "tokenizer.json",
                              {&out.start, &out.end, &out.unknown, &out.pad});
    return out;
}

Tokenizer Tokenizer::read(const std::filesystem::path& folder) {
    if (is_whole(folder)) {
        Vocabulary vocabulary = read_whole_tokenizer(folder / "tokenizer.json");
        return {std::move(vocabulary.ids), vocabulary.merges, read_config(folder)};
    }
    for (const char* name : {"vocab.json", "merges.txt"})
        if (!std::filesystem::exists(folder / name))
            throw Error((folder / name).string(), "there is no such file",
                        "a CLIP tokenizer needs vocab.json and merges.txt, or tokenizer.json");
    return {read_vocab(folder / "vocab.json"), read_merges(folder / "merges.txt"),
            read_config(folder)};
}

}  // namespace weft
