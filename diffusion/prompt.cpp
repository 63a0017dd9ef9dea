#include "diffusion/prompt.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

namespace weft {

namespace {

constexpr double round_factor = 1.1;
constexpr double square_factor = 1 / 1.1;
constexpr std::string_view blanks = " \t\n\v\f\r";

bool is_word(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
           (byte >= 'A' && byte <= 'Z') || byte == '_' || byte >= 0x80;
}

std::string_view trimmed(std::string_view text) {
    const size_t first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos)
        return {};
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

std::optional<double> number(std::string_view text) {
    if (text.starts_with('+'))
        text.remove_prefix(1);
    double value = 0;
    const char* end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, value, std::chars_format::fixed);
    const bool whole = !text.empty() && result.ec == std::errc() && result.ptr == end;
    return whole && std::isfinite(value) ? std::optional(value) : std::nullopt;
}

struct ClosingWeight {
    double weight;
    size_t length;  // of the whole ":1.3)"
};

// ":1.3)" at the front of text.
std::optional<ClosingWeight> closing_weight(std::string_view text) {
    constexpr size_t longest = 64;  // keeps the search linear in a text full of colons
    const size_t close = text.substr(0, longest).find(')');
    if (!text.starts_with(':') || close == std::string_view::npos)
        return {};
    const std::string_view inside = trimmed(text.substr(1, close - 1));
    if (inside.find_first_not_of("+-.0123456789") != std::string_view::npos)
        return {};
    const std::optional<double> weight = number(inside);
    return weight ? std::optional(ClosingWeight{*weight, close + 1}) : std::nullopt;
}

// Where BREAK stands as a word of its own; npos where it does not.
size_t find_break(std::string_view text, std::string_view word) {
    for (size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
        const size_t end = at + word.size();
        const bool begins = at == 0 || !is_word(text[at - 1]);
        if (begins && (end == text.size() || !is_word(text[end])))
            return at;
    }
    return std::string_view::npos;
}

class PromptReader {
  public:
    std::vector<PromptPart> read(std::string_view text) {
        while (!text.empty()) text.remove_prefix(take(text));
        for (const size_t from : round_) multiply(from, round_factor);
        for (const size_t from : square_) multiply(from, square_factor);
        join();
        return std::move(parts_);
    }

  private:
    // Reads one element at the front of text and returns its length.
    size_t take(std::string_view text) {
        const char c = text.front();
        if (c == '\\')
            return take_escape(text);
        if (c == '(' || c == '[') {
            (c == '(' ? round_ : square_).push_back(parts_.size());
            return 1;
        }
        if (const auto closing = closing_weight(text); closing && close(round_, closing->weight))
            return closing->length;
        if ((c == ')' && close(round_, round_factor)) ||
            (c == ']' && close(square_, square_factor)))
            return 1;
        const size_t length =
            std::max<size_t>(1, std::min(text.find_first_of("\\()[]:"), text.size()));
        add_text(text.substr(0, length));
        return length;
    }

    size_t take_escape(std::string_view text) {
        const bool escapes =
            text.size() > 1 && std::string_view("()[]\\").find(text[1]) != std::string_view::npos;
        if (escapes)
            parts_.push_back({std::string(text.substr(1, 1))});
        return escapes ? 2 : 1;
    }

    void add_text(std::string_view text) {
        constexpr std::string_view word = "BREAK";
        bool starts_chunk = false;
        for (size_t at = find_break(text, word); at != std::string_view::npos;
             at = find_break(text, word)) {
            const std::string_view before = text.substr(0, at);
            const size_t kept = before.find_last_not_of(blanks) + 1;  // npos + 1 is 0
            parts_.push_back({std::string(before.substr(0, kept)), 1, starts_chunk});
            text.remove_prefix(at + word.size());
            text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
            starts_chunk = true;
        }
        parts_.push_back({std::string(text), 1, starts_chunk});
    }

    bool close(std::vector<size_t>& opened, double factor) {
        if (opened.empty())
            return false;
        multiply(opened.back(), factor);
        opened.pop_back();
        return true;
    }

    void multiply(size_t from, double factor) {
        for (size_t i = from; i < parts_.size(); ++i) parts_[i].weight *= factor;
    }

    // Joins neighbours of one weight, so that words cut only by an escape are tokenized whole.
    void join() {
        std::vector<PromptPart> joined;
        for (PromptPart& part : parts_) {
            if (!joined.empty() && !part.starts_chunk && joined.back().weight == part.weight)
                joined.back().text += part.text;
            else
                joined.push_back(std::move(part));
        }
        if (joined.empty())
            joined.emplace_back();
        parts_ = std::move(joined);
    }

    std::vector<PromptPart> parts_;
    std::vector<size_t> round_;  // places in parts_ where brackets opened
    std::vector<size_t> square_;
};

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool stands_at(std::string_view text, size_t at, std::string_view name) {
    const std::string_view found = text.substr(at, name.size());
    if (!std::equal(found.begin(), found.end(), name.begin(), name.end(),
                    [](char a, char b) { return lower(a) == lower(b); }))
        return false;
    const size_t end = at + name.size();
    const bool continues_before = at > 0 && is_word(text[at - 1]) && is_word(name.front());
    const bool continues_after = end < text.size() && is_word(text[end]) && is_word(name.back());
    return !continues_before && !continues_after;
}

// The longest added token that stands at `at`; null where none does.
const AddedToken* added_at(std::string_view text, size_t at, std::span<const AddedToken> added) {
    const AddedToken* longest = nullptr;
    for (const AddedToken& token : added)
        if (!token.name.empty() && stands_at(text, at, token.name) &&
            (longest == nullptr || token.name.size() > longest->name.size()))
            longest = &token;
    return longest;
}

// Note [Chunks]
// The web UI fills a chunk token by token. When it is full and the next token is no comma, the
// tokens after the last comma move on, if they are few enough; a comma that finds the chunk full
// opens the next one itself.
class Chunker {
  public:
    Chunker(const Tokenizer& tokenizer, std::span<const AddedToken> added)
        : tokenizer_(tokenizer),
          added_(added),
          room_(static_cast<size_t>(tokenizer.max_length() - 2)) {
        const std::vector<int64_t> comma = tokenizer.tokenize(",");
        comma_ = comma.size() == 1 ? comma.front() : -1;
    }

    std::vector<PromptChunk> chunks(const std::vector<PromptPart>& parts) {
        for (const PromptPart& part : parts) {
            if (part.starts_chunk)
                end_chunk();
            add(part.text, static_cast<float>(part.weight));
        }
        if (!ids_.empty() || done_.empty())
            end_chunk();
        return std::move(done_);
    }

  private:
    void add(std::string_view text, float weight) {
        size_t begin = 0;
        for (size_t at = 0; at < text.size();) {
            const AddedToken* token = added_at(text, at, added_);
            if (token == nullptr) {
                ++at;
                continue;
            }
            add_words(text.substr(begin, at - begin), weight);
            add_whole(token->ids, weight);
            at += token->name.size();
            begin = at;
        }
        add_words(text.substr(begin), weight);
    }

    void add_words(std::string_view text, float weight) {
        if (text.empty())
            return;
        for (const int64_t id : tokenizer_.tokenize(text)) {
            if (id == comma_)
                comma_at_ = ids_.size();
            else if (ids_.size() == room_)
                move_after_comma();
            if (ids_.size() == room_)
                end_chunk();
            ids_.push_back(id);
            weights_.push_back(weight);
        }
    }

    void add_whole(const std::vector<int64_t>& ids, float weight) {
        TORCH_CHECK(ids.size() <= room_, ids.size(), " vectors in a chunk of ", room_);
        if (ids_.size() == room_)
            move_after_comma();
        if (ids_.size() + ids.size() > room_)
            end_chunk();
        ids_.insert(ids_.end(), ids.begin(), ids.end());
        weights_.insert(weights_.end(), ids.size(), weight);
    }

    void move_after_comma() {
        constexpr size_t backtrack = 20;
        if (!comma_at_ || ids_.size() - *comma_at_ > backtrack)
            return;
        const auto keep = static_cast<std::ptrdiff_t>(*comma_at_ + 1);
        std::vector<int64_t> ids(ids_.begin() + keep, ids_.end());
        std::vector<float> weights(weights_.begin() + keep, weights_.end());
        ids_.resize(static_cast<size_t>(keep));
        weights_.resize(static_cast<size_t>(keep));
        end_chunk();
        ids_ = std::move(ids);
        weights_ = std::move(weights);
    }

    void end_chunk() {
        const auto length = static_cast<size_t>(tokenizer_.max_length());
        PromptChunk chunk;
        chunk.ids.push_back(tokenizer_.start_id());
        chunk.ids.insert(chunk.ids.end(), ids_.begin(), ids_.end());
        chunk.ids.push_back(tokenizer_.end_id());
        chunk.ids.resize(length, tokenizer_.pad_id());
        chunk.weights.push_back(1);
        chunk.weights.insert(chunk.weights.end(), weights_.begin(), weights_.end());
        chunk.weights.resize(length, 1);
        done_.push_back(std::move(chunk));
        ids_.clear();
        weights_.clear();
        comma_at_.reset();
    }

    const Tokenizer& tokenizer_;
    std::span<const AddedToken> added_;
    size_t room_;
    int64_t comma_ = -1;
    std::vector<PromptChunk> done_;
    std::vector<int64_t> ids_;  // of the chunk being filled
    std::vector<float> weights_;
    std::optional<size_t> comma_at_;
};

}  // namespace

std::vector<PromptPart> parse_prompt(std::string_view prompt) {
    return PromptReader().read(prompt);
}

std::vector<PromptChunk> chunk_prompt(const Tokenizer& tokenizer, std::string_view prompt,
                                      std::span<const AddedToken> added) {
    TORCH_CHECK(tokenizer.max_length() > 2, "chunks of ", tokenizer.max_length(), " tokens");
    return Chunker(tokenizer, added).chunks(parse_prompt(prompt));
}

}  // namespace weft
