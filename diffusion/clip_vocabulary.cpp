#include "diffusion/clip_vocabulary.h"

#include <c10/util/StringUtil.h>

#include <cstdlib>
#include <optional>
#include <sstream>
#include <system_error>

#include "io/files/error.h"
#include "io/files/json_tree.h"
#include "io/files/regular_file.h"

namespace weft {
namespace {

namespace fs = std::filesystem;

constexpr size_t max_merges = 49152 - 256 - 2;
constexpr int64_t max_bytes = 64 << 20;
constexpr const char* name = "clip_vocabulary.txt";
constexpr const char* word_end = "</w>";

using Merges = std::vector<std::pair<std::string, std::string>>;

struct ClipTokens {
    std::vector<std::string> by_id;
    Merges merges;
};

[[noreturn]] void refuse(const fs::path& path, const std::string& cause) {
    throw Error(path.string(), cause,
                "give bpe_simple_vocab_16e6.txt of the PyPI package open_clip_torch, unpacked; "
                "./dev setup fetches it");
}

Merges read_merges(const fs::path& path) {
    const RegularFile file(path);
    if (file.size_bytes() > max_bytes)
        refuse(path, "is too large for CLIP's vocabulary");
    const std::string text = file.head(file.size_bytes());
    if (text.starts_with("\x1f\x8b"))
        refuse(path, "is compressed; gunzip it first");
    std::istringstream lines(text);
    std::string line;
    if (!std::getline(lines, line) || line.find("version") == std::string::npos)
        refuse(path, "does not start with the title of CLIP's vocabulary");
    Merges merges;
    while (merges.size() < max_merges && std::getline(lines, line)) {
        const size_t blank = line.find(' ');
        if (line.empty())
            continue;
        if (blank == 0 || blank == std::string::npos || blank + 1 == line.size())
            refuse(path, c10::str("line ", merges.size() + 2, " is no pair of tokens"));
        merges.emplace_back(line.substr(0, blank), line.substr(blank + 1));
    }
    return merges;
}

// CLIP counts the bytes that print as themselves first, then the others.
std::vector<std::string> symbols_in_order() {
    std::vector<std::string> printable, others;
    const auto& symbols = byte_symbols();
    for (size_t byte = 0; byte < symbols.size(); ++byte) {
        const bool prints = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
        (prints ? printable : others).push_back(symbols[byte]);
    }
    printable.insert(printable.end(), others.begin(), others.end());
    return printable;
}

ClipTokens read_tokens(const fs::path& path) {
    ClipTokens out{symbols_in_order(), read_merges(path)};
    for (size_t i = 0; i < byte_symbols().size(); ++i) out.by_id.push_back(out.by_id[i] + word_end);
    for (const auto& [left, right] : out.merges) out.by_id.push_back(left + right);
    out.by_id.emplace_back("<|startoftext|>");
    out.by_id.emplace_back("<|endoftext|>");
    return out;
}

std::optional<fs::path> existing(const fs::path& path) {
    std::error_code ignored;
    return fs::is_regular_file(path, ignored) ? std::optional(path) : std::nullopt;
}

}  // namespace

fs::path find_clip_vocabulary() {
    if (const char* given = std::getenv("WEFT_VOCAB")) {  // NOLINT(concurrency-mt-unsafe)
        if (const auto found = existing(given))
            return *found;
        refuse(given, "is no file, though WEFT_VOCAB names it");
    }
    std::error_code failed;
    const fs::path program = fs::read_symlink("/proc/self/exe", failed);
    const fs::path installed = program.parent_path().parent_path() / "share" / "weft" / name;
    for (const fs::path& path : {installed, fs::path(WEFT_SHARE_DIR) / name})
        if (const auto found = existing(path))
            return *found;
    throw Error(installed.string(),
                "CLIP's vocabulary is not there, and a single-file checkpoint carries none",
                "run ./dev setup, which fetches it, or set WEFT_VOCAB to "
                "bpe_simple_vocab_16e6.txt of the PyPI package open_clip_torch");
}

Tokenizer read_clip_vocabulary(const fs::path& path, const std::string& pad) {
    const ClipTokens tokens = read_tokens(path);
    std::unordered_map<std::string, int64_t> ids;
    for (size_t i = 0; i < tokens.by_id.size(); ++i) ids[tokens.by_id[i]] = static_cast<int64_t>(i);
    TokenizerConfig config;
    config.pad.text = pad;
    return {std::move(ids), tokens.merges, config};
}

TokenizerTexts clip_vocabulary_texts(const fs::path& path) {
    const ClipTokens tokens = read_tokens(path);
    TokenizerTexts out{"{", "#version: 0.2\n"};
    for (size_t i = 0; i < tokens.by_id.size(); ++i)
        out.vocab_json +=
            c10::str(i == 0 ? "\n  " : ",\n  ", json_quoted(tokens.by_id[i]), ": ", i);
    out.vocab_json += "\n}\n";
    for (const auto& [left, right] : tokens.merges) out.merges += c10::str(left, " ", right, "\n");
    return out;
}

}  // namespace weft
