#include "diffusion/tokenizer.h"

#include <c10/util/Exception.h>
#include <c10/util/StringUtil.h>

#include <algorithm>
#include <queue>
#include <tuple>

#include "diffusion/unicode.h"
#include "io/files/error.h"

namespace weft {

namespace {

constexpr const char* word_end = "</w>";

std::array<std::string, 256> make_byte_symbols() {
    // Printable Latin-1 stands for itself; the others follow from U+0100 on.
    std::array<std::string, 256> symbols;
    char32_t next = 0x100;
    for (size_t byte = 0; byte < symbols.size(); ++byte) {
        const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
        append_utf8(printable ? static_cast<char32_t>(byte) : next++, symbols[byte]);
    }
    return symbols;
}

uint64_t pair_key(int64_t left, int64_t right) {
    return static_cast<uint64_t>(left) << 32 | static_cast<uint64_t>(right);
}

bool is_symbol(char32_t code) {
    return !is_space(code) && !is_letter(code) && !is_number(code);
}

// Length of the run of characters that `is` holds for, at the front of text.
template <typename Predicate>
size_t run_length(std::u32string_view text, Predicate is) {
    return static_cast<size_t>(std::find_if_not(text.begin(), text.end(), is) - text.begin());
}

size_t contraction_length(std::u32string_view text) {
    constexpr std::array<std::u32string_view, 7> endings{U"'s", U"'t",  U"'re", U"'ve",
                                                         U"'m", U"'ll", U"'d"};
    for (const std::u32string_view ending : endings)
        if (text.starts_with(ending))
            return ending.size();
    return 0;
}

// Marker words inside a text are one match of CLIP's pattern, which the byte-level step then cuts
// into "<|", the name and "|>".
size_t marker_length(std::u32string_view text) {
    for (const std::u32string_view marker : {U"<|startoftext|>", U"<|endoftext|>"})
        if (text.starts_with(marker))
            return std::u32string_view(marker).size();
    return 0;
}

}  // namespace

const std::array<std::string, 256>& byte_symbols() {
    static const std::array<std::string, 256> symbols = make_byte_symbols();
    return symbols;
}

std::vector<std::u32string_view> split_words(std::u32string_view text) {
    std::vector<std::u32string_view> words;
    auto take = [&](size_t length) {
        words.push_back(text.substr(0, length));
        text.remove_prefix(length);
    };
    while (!text.empty()) {
        if (const size_t marker = marker_length(text)) {
            take(2);
            take(marker - 4);
            take(2);
        } else if (const size_t ending = contraction_length(text)) {
            take(ending);
        } else if (const size_t letters = run_length(text, is_letter)) {
            take(letters);
        } else if (is_number(text.front())) {
            take(1);
        } else if (const size_t symbols = run_length(text, is_symbol)) {
            take(symbols);
        } else {
            text.remove_prefix(1);
        }
    }
    return words;
}

Tokenizer::Tokenizer(std::unordered_map<std::string, int64_t> vocab,
                     const std::vector<std::pair<std::string, std::string>>& merges,
                     const TokenizerConfig& config)
    : vocab_(std::move(vocab)), max_length_(config.max_length) {
    TORCH_CHECK(max_length_ >= 2, "a tokenizer of length ", max_length_);
    for (const auto& [token, id] : vocab_) {
        TORCH_CHECK(id >= 0 && id <= INT32_MAX, "token id ", id, " out of range");
        vocab_size_ = std::max(vocab_size_, id + 1);
    }
    for (size_t rank = 0; rank < merges.size(); ++rank) {
        const auto& [left, right] = merges[rank];
        merges_.insert_or_assign(pair_key(id_of(left), id_of(right)),
                                 Merge{static_cast<int64_t>(rank), id_of(left + right)});
    }
    start_ = id_of(config.start.text);
    end_ = id_of(config.end.text);
    pad_ = id_of(config.pad.text);
    unknown_ = id_of(config.unknown.text);
    for (const SpecialToken& token : {config.start, config.end, config.unknown, config.pad})
        add_special(token);
    for (size_t i = 0; i < byte_ids_.size(); ++i) {
        const std::string token = byte_symbols()[i % 256] + (i < 256 ? "" : word_end);
        const auto found = vocab_.find(token);
        byte_ids_[i] = found != vocab_.end() ? found->second : unknown_;
    }
}

int64_t Tokenizer::id_of(const std::string& token) const {
    const auto found = vocab_.find(token);
    if (found == vocab_.end())
        throw Error(token, "the tokenizer needs this token, but vocab.json has it not",
                    "vocab.json and merges.txt must come from the same model");
    return found->second;
}

void Tokenizer::add_special(const SpecialToken& token) {
    const std::u32string raw = decode_utf8(token.text);
    std::erase_if(specials_, [&](const Special& known) { return known.id == id_of(token.text); });
    specials_.push_back(
        {token.normalized ? lower_case(nfc(raw)) : raw, id_of(token.text), token.normalized});
}

// Cuts a text at the special tokens that are found at this stage, leftmost and longest first.
std::vector<Tokenizer::Piece> Tokenizer::cut(std::u32string_view text, bool normalized) const {
    std::vector<Piece> pieces;
    auto add = [&](std::u32string_view part, const Special* special) {
        if (!part.empty())
            pieces.push_back({part, special});
    };
    size_t begin = 0;
    for (size_t at = 0; at < text.size();) {
        const Special* found = nullptr;
        for (const Special& special : specials_)
            if (special.normalized == normalized && text.substr(at).starts_with(special.text) &&
                (found == nullptr || special.text.size() > found->text.size()))
                found = &special;
        if (found == nullptr) {
            ++at;
            continue;
        }
        add(text.substr(begin, at - begin), nullptr);
        add(text.substr(at, found->text.size()), found);
        at += std::max<size_t>(found->text.size(), 1);
        begin = at;
    }
    add(text.substr(begin), nullptr);
    return pieces;
}

void Tokenizer::append_words(std::u32string_view text, std::vector<int64_t>& ids) const {
    for (const std::u32string_view word : split_words(text)) append_word(word, ids);
}

void Tokenizer::append_word(std::u32string_view word, std::vector<int64_t>& ids) const {
    std::vector<int64_t> symbols;
    for (const char byte : encode_utf8(word))
        symbols.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
    const auto last = static_cast<unsigned char>(encode_utf8(word.substr(word.size() - 1)).back());
    symbols.back() = byte_ids_[256U + last];
    const std::vector<int64_t> tokens = merged(std::move(symbols));
    ids.insert(ids.end(), tokens.begin(), tokens.end());
}

// Merges the neighbours of lowest rank, leftmost first, until no pair is left: n log n by a queue
// of candidate pairs over a linked list of symbols.
std::vector<int64_t> Tokenizer::merged(std::vector<int64_t> symbols) const {
    constexpr int64_t gone = -1;
    const auto count = static_cast<int64_t>(symbols.size());
    std::vector<int64_t> next(symbols.size());
    std::vector<int64_t> previous(symbols.size());
    using Candidate = std::tuple<int64_t, int64_t, int64_t>;  // rank, position, result
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
    auto at = [&](int64_t i) -> int64_t& { return symbols[static_cast<size_t>(i)]; };
    auto find = [&](int64_t left, int64_t right) {
        return left >= 0 && right < count ? merges_.find(pair_key(at(left), at(right)))
                                          : merges_.end();
    };
    auto offer = [&](int64_t left, int64_t right) {
        if (const auto merge = find(left, right); merge != merges_.end())
            queue.emplace(merge->second.rank, left, merge->second.result);
    };
    for (int64_t i = 0; i < count; ++i) {
        next[static_cast<size_t>(i)] = i + 1;
        previous[static_cast<size_t>(i)] = i - 1;
    }
    for (int64_t i = 0; i + 1 < count; ++i) offer(i, i + 1);
    while (!queue.empty()) {
        const auto [rank, left, result] = queue.top();
        queue.pop();
        const int64_t right = next[static_cast<size_t>(left)];
        // Earlier merges may have taken one of the two.
        const auto merge = at(left) == gone ? merges_.end() : find(left, right);
        if (merge == merges_.end() || merge->second.result != result)
            continue;
        at(left) = result;
        at(right) = gone;
        const int64_t after = next[static_cast<size_t>(right)];
        next[static_cast<size_t>(left)] = after;
        if (after < count)
            previous[static_cast<size_t>(after)] = left;
        offer(previous[static_cast<size_t>(left)], left);
        offer(left, after);
    }
    std::erase(symbols, gone);
    return symbols;
}

std::vector<int64_t> Tokenizer::tokenize(std::string_view text) const {
    constexpr size_t limit_bytes = 1 << 20;
    if (text.size() > limit_bytes)
        throw Error("prompt", c10::str("is ", text.size(), " bytes long"),
                    "take a text below one megabyte");
    std::vector<int64_t> ids;
    const std::u32string raw = decode_utf8(text);
    for (const Piece& piece : cut(raw, false)) {
        if (piece.special != nullptr) {
            ids.push_back(piece.special->id);
            continue;
        }
        const std::u32string normal = lower_case(nfc(piece.text));
        for (const Piece& part : cut(normal, true)) {
            if (part.special != nullptr)
                ids.push_back(part.special->id);
            else
                append_words(part.text, ids);
        }
    }
    return ids;
}

std::vector<int64_t> Tokenizer::encode(std::string_view text) const {
    const std::vector<int64_t> ids = tokenize(text);
    const auto room = static_cast<size_t>(max_length_ - 2);
    const auto kept = static_cast<std::ptrdiff_t>(std::min(ids.size(), room));
    std::vector<int64_t> padded{start_};
    padded.insert(padded.end(), ids.begin(), ids.begin() + kept);
    padded.push_back(end_);
    padded.resize(static_cast<size_t>(max_length_), pad_);
    return padded;
}

int64_t Tokenizer::length(std::string_view text) const {
    return static_cast<int64_t>(tokenize(text).size()) + 2;
}

}  // namespace weft
