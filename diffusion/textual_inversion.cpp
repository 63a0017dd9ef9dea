#include "diffusion/textual_inversion.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <array>
#include <set>
#include <system_error>

#include "io/files/error.h"
#include "io/files/safetensors.h"
#include "io/files/text.h"

namespace weft {

namespace {

namespace fs = std::filesystem;

constexpr int64_t most_vectors = 75;  // room in a chunk of CLIP

// Names that say which text encoder a tensor is for, in the encoders' order.
constexpr std::array<std::array<const char*, 2>, 2> pairs{
    {{"clip_l", "clip_g"}, {"text_encoders_0", "text_encoders_1"}}};

// Keys that stand for "the word of this file".
constexpr std::array<const char*, 3> nameless{"emb_params", "*", "string_to_param.*"};

// [width] or [n, width] of any floating dtype -> [n, width] f32.
torch::Tensor vectors_in(const SafeTensors& file, const std::string& key) {
    torch::Tensor tensor = file.tensor(key);
    if (tensor.dim() == 1)
        tensor = tensor.unsqueeze(0);
    const std::string where = file.path().string();
    if (tensor.dim() != 2 || !tensor.is_floating_point() || tensor.numel() == 0)
        throw Error(where,
                    c10::str("tensor ", quoted_name(key), " ", tensor.sizes(),
                             " is no list of word vectors"),
                    "give a textual inversion file; LoRAs go to --lora");
    if (tensor.size(0) > most_vectors)
        throw Error(where,
                    c10::str("has ", tensor.size(0),
                             " vectors for one word, a prompt's "
                             "chunk has room for ",
                             most_vectors),
                    "train it with fewer vectors");
    tensor = tensor.to(torch::kFloat32).clone();
    if (!tensor.isfinite().all().item<bool>())
        throw Error(where, "holds numbers that are not finite",
                    "its training failed; fetch another");
    return tensor;
}

std::vector<LearnedWord> words_in(const fs::path& path, const std::string& token) {
    const SafeTensors file(path);
    const std::string own = token.empty() ? path.stem().string() : token;
    const std::string where = path.string();
    for (const auto& [first, second] : pairs)
        if (file.has(first) && file.has(second))
            return {{own, {vectors_in(file, first), vectors_in(file, second)}, where}};
    std::vector<LearnedWord> words;
    for (const auto& [key, entry] : file.entries()) {
        const bool is_nameless = std::find(nameless.begin(), nameless.end(), key) != nameless.end();
        words.push_back(
            {is_nameless || !token.empty() ? own : key, {vectors_in(file, key)}, where});
    }
    if (words.empty())
        throw Error(where, "holds no word vectors", "give a textual inversion file");
    if (words.size() > 1 && !token.empty())
        throw Error(where,
                    c10::str("holds ", words.size(), " words, which cannot all be '", token, "'"),
                    "leave the token out; each word has its name in the file");
    return words;
}

std::vector<fs::path> files_in(const fs::path& folder) {
    std::vector<fs::path> files;
    std::error_code failed;
    for (const auto& entry : fs::directory_iterator(folder, failed))
        if (entry.path().extension() == ".safetensors")
            files.push_back(entry.path());
    if (files.empty())
        throw Error(folder.string(), "holds no .safetensors files", "give a folder of embeddings");
    std::sort(files.begin(), files.end());
    return files;
}

// The tensor of a word that this encoder takes: by place where there is one for each encoder, by
// width where a model has one encoder of two; undefined where none fits.
torch::Tensor vectors_for(const LearnedWord& word, const TextTower& tower) {
    const int64_t width = tower.config.hidden_size;
    if (word.vectors.size() == tower.count) {
        const torch::Tensor& own = word.vectors[tower.index];
        return own.size(1) == width ? own : torch::Tensor();
    }
    for (const torch::Tensor& vectors : word.vectors)
        if (tower.count == 1 && vectors.size(1) == width)
            return vectors;
    return {};
}

[[noreturn]] void fail_misfit(const LearnedWord& word, const TextTower& tower) {
    std::vector<std::string> widths;
    for (const torch::Tensor& vectors : word.vectors)
        widths.push_back(std::to_string(vectors.size(1)));
    throw Error(word.where,
                c10::str("its vectors are ", c10::Join(" and ", widths), " wide, text encoder ",
                         tower.index + 1, " of ", tower.count, " takes ", tower.config.hidden_size),
                "the embedding was made for another family of models");
}

void check_name(const LearnedWord& word, const Tokenizer& tokenizer) {
    const char* way_out = "name it yourself: --embedding FILE:<my-word>";
    if (word.name.empty() || word.name.size() > 256 ||
        word.name.find_first_of("()[]\\\n") != std::string::npos)
        throw Error(word.where, c10::str(quoted_name(word.name), " cannot stand in a prompt"),
                    way_out);
    if (tokenizer.tokenize(word.name).size() <= 1)
        throw Error(
            word.where,
            c10::str(quoted_name(word.name), " is a word of the model's vocabulary already"),
            way_out);
}

std::string lower_ascii(std::string text) {
    for (char& c : text)
        if (c >= 'A' && c <= 'Z')
            c = static_cast<char>(c - 'A' + 'a');
    return text;
}

}  // namespace

std::vector<LearnedWord> read_learned_words(const EmbeddingChoice& choice) {
    std::error_code ignored;
    if (!fs::is_directory(choice.path, ignored))
        return words_in(choice.path, choice.token);
    if (!choice.token.empty())
        throw Error(choice.path.string(), "is a folder, which takes no token",
                    "give one file of it to name its word");
    std::vector<LearnedWord> words;
    for (const fs::path& file : files_in(choice.path))
        for (LearnedWord& word : words_in(file, "")) {
            word.optional = true;
            words.push_back(std::move(word));
        }
    return words;
}

WordTable word_table(const std::vector<LearnedWord>& words, const TextTower& tower) {
    WordTable table;
    std::set<std::string> names;
    std::vector<torch::Tensor> all;
    int64_t next = tower.config.vocab_size;
    for (const LearnedWord& word : words) {
        const torch::Tensor vectors = vectors_for(word, tower);
        if (!vectors.defined() && word.optional)
            continue;
        if (!vectors.defined())
            fail_misfit(word, tower);
        check_name(word, tower.tokenizer);
        if (!names.insert(lower_ascii(word.name)).second)
            throw Error(word.where, c10::str("gives the word ", quoted_name(word.name), " again"),
                        "name one of them yourself: --embedding FILE:<my-word>");
        AddedToken token{word.name, {}};
        for (int64_t i = 0; i < vectors.size(0); ++i) token.ids.push_back(next++);
        table.tokens.push_back(std::move(token));
        all.push_back(vectors);
    }
    if (!all.empty())
        table.vectors = torch::cat(all);
    return table;
}

}  // namespace weft
