#include "diffusion/tokenizer_training.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "diffusion/unicode.h"
#include "io/files/json_tree.h"
#include "io/files/whole_file.h"

namespace weft {

namespace {

struct Word {
    std::vector<int64_t> symbols;
    int64_t count = 0;
};

using Pair = std::pair<int64_t, int64_t>;

// 256 bytes, then 256 bytes with "</w>", in the order of their stand-ins (CLIP's order).
std::vector<std::string> base_vocab() {
    std::vector<std::string> symbols(byte_symbols().begin(), byte_symbols().end());
    std::sort(symbols.begin(), symbols.end());  // by code point: printable bytes come first
    std::vector<std::string> vocab = symbols;
    for (const std::string& symbol : symbols) vocab.push_back(symbol + "</w>");
    return vocab;
}

std::unordered_map<std::string, int64_t> ids_of(const std::vector<std::string>& vocab) {
    std::unordered_map<std::string, int64_t> ids;
    for (const std::string& token : vocab) ids.emplace(token, static_cast<int64_t>(ids.size()));
    return ids;
}

std::vector<Word> count_words(const std::vector<std::string>& captions,
                              const std::vector<std::string>& vocab) {
    std::map<std::u32string, int64_t> counts;
    for (const std::string& caption : captions) {
        const std::u32string text = lower_case(nfc(decode_utf8(caption)));
        for (const std::u32string_view word : split_words(text)) ++counts[std::u32string(word)];
    }
    std::unordered_map<std::string, int64_t> ids;
    for (size_t i = 0; i < vocab.size(); ++i) ids[vocab[i]] = static_cast<int64_t>(i);
    std::vector<Word> words;
    for (const auto& [text, count] : counts) {
        Word word{.symbols = {}, .count = count};
        for (const char byte : encode_utf8(text))
            word.symbols.push_back(ids.at(byte_symbols()[static_cast<unsigned char>(byte)]));
        word.symbols.back() += 256;
        words.push_back(std::move(word));
    }
    return words;
}

// How often each pair of neighbours occurs, and in which words.
class PairCounts {
  public:
    void add(const Word& word, size_t index, int64_t sign) {
        for (size_t i = 0; i + 1 < word.symbols.size(); ++i) {
            const Pair pair{word.symbols[i], word.symbols[i + 1]};
            counts_[pair] += sign * word.count;
            words_[pair].insert(index);
        }
    }

    // The most frequent pair, the first by id among equals; count 0 where there is none.
    std::pair<Pair, int64_t> best() const {
        std::pair<Pair, int64_t> found{{}, 0};
        for (const auto& [pair, count] : counts_)
            if (count > found.second)
                found = {pair, count};
        return found;
    }

    std::set<size_t> words_with(const Pair& pair) const { return words_.at(pair); }

  private:
    std::map<Pair, int64_t> counts_;
    std::map<Pair, std::set<size_t>> words_;
};

void merge_in(std::vector<int64_t>& symbols, const Pair& pair, int64_t result) {
    std::vector<int64_t> out;
    for (size_t i = 0; i < symbols.size(); ++i) {
        const bool match =
            i + 1 < symbols.size() && symbols[i] == pair.first && symbols[i + 1] == pair.second;
        out.push_back(match ? result : symbols[i]);
        i += match ? 1 : 0;
    }
    symbols = std::move(out);
}

void write_whole(const std::filesystem::path& path, const std::string& text) {
    WholeFile file(path);
    file.write(text);
    file.commit();
}

}  // namespace

LearnedBpe learn_bpe(const std::vector<std::string>& captions, int64_t merges) {
    LearnedBpe bpe{.vocab = base_vocab(), .merges = {}};
    std::vector<Word> words = count_words(captions, bpe.vocab);
    PairCounts counts;
    for (size_t i = 0; i < words.size(); ++i) counts.add(words[i], i, 1);
    std::unordered_map<std::string, int64_t> ids = ids_of(bpe.vocab);
    while (static_cast<int64_t>(bpe.merges.size()) < merges) {
        const auto [pair, count] = counts.best();
        if (count < 2)
            break;
        const std::string& left = bpe.vocab[static_cast<size_t>(pair.first)];
        const std::string& right = bpe.vocab[static_cast<size_t>(pair.second)];
        const std::string joined = left + right;
        bpe.merges.emplace_back(left, right);
        // Two pairs may make the same token.
        const auto [entry, is_new] = ids.emplace(joined, static_cast<int64_t>(bpe.vocab.size()));
        const int64_t result = entry->second;
        if (is_new)
            bpe.vocab.push_back(joined);
        for (const size_t index : counts.words_with(pair)) {
            counts.add(words[index], index, -1);
            merge_in(words[index].symbols, pair, result);
            counts.add(words[index], index, 1);
        }
    }
    return bpe;
}

Tokenizer make_tokenizer(const LearnedBpe& bpe, const TokenizerConfig& config) {
    std::unordered_map<std::string, int64_t> ids;
    for (const std::string& token : bpe.vocab) ids.emplace(token, static_cast<int64_t>(ids.size()));
    for (const SpecialToken& token : {config.start, config.end})
        ids.emplace(token.text, static_cast<int64_t>(ids.size()));
    return {std::move(ids), bpe.merges, config};
}

void save_tokenizer(const LearnedBpe& bpe, const std::filesystem::path& folder,
                    const TokenizerConfig& config) {
    std::string vocab = "{";
    int64_t id = 0;
    auto add = [&](const std::string& token) {
        vocab += c10::str(id == 0 ? "" : ", ", json_quoted(token), ": ", id);
        ++id;
    };
    for (const std::string& token : bpe.vocab) add(token);
    add(config.start.text);
    add(config.end.text);
    write_whole(folder / "vocab.json", vocab + "}\n");

    std::string merges = "#version: 0.2\n";
    for (const auto& [left, right] : bpe.merges) merges += c10::str(left, " ", right, "\n");
    write_whole(folder / "merges.txt", merges);

    const std::string special =
        c10::str("  \"bos_token\": ", json_quoted(config.start.text),
                 ",\n  \"eos_token\": ", json_quoted(config.end.text),
                 ",\n  \"pad_token\": ", json_quoted(config.pad.text),
                 ",\n  \"unk_token\": ", json_quoted(config.unknown.text), "\n}\n");
    write_whole(folder / "special_tokens_map.json", "{\n" + special);
    write_whole(folder / "tokenizer_config.json",
                c10::str("{\n  \"tokenizer_class\": \"CLIPTokenizer\",\n  \"model_max_length\": ",
                         config.max_length, ",\n", special));
}

}  // namespace weft
