#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "diffusion/adapter_choice.h"
#include "diffusion/clip.h"
#include "diffusion/prompt.h"

namespace weft {

/// A word learned by textual inversion (Gal et al., arXiv 2208.01618) as a file holds it.
struct LearnedWord {
    std::string name;
    std::vector<torch::Tensor> vectors;  // [n, width] f32, one for each text encoder it is for
    std::string where;                   // the file, for errors
    bool optional = false;               // from a folder: left out of models it does not fit
};

/// Reads the words of a file, or of all .safetensors files of a folder, by name:
///   diffusers                 one tensor a word, its key is the word: "<cat-toy>" [width] or [n,
///   width] AUTOMATIC1111             "emb_params" [n, width]; the word is the file's name SDXL
///   "clip_l" [n, 768] and "clip_g" [n, 1280]; the word is the file's name diffusers' SDXL trainer
///   "text_encoders_0", "text_encoders_1", likewise
/// Error for pickles (.pt, .bin), other tensors, more vectors than a chunk has room for, and
/// numbers that are not finite.
std::vector<LearnedWord> read_learned_words(const EmbeddingChoice& choice);

/// The words of one text encoder: ids from its vocabulary's end on, and their vectors.
struct WordTable {
    std::vector<AddedToken> tokens;
    torch::Tensor vectors;  // [k, hidden_size] f32; undefined where there are no words
};

/// What a word table is made for: the text encoder number `index` of `count`.
struct TextTower {
    const Tokenizer& tokenizer;
    const ClipTextConfig& config;
    size_t index = 0;
    size_t count = 1;
};

/// Error where a word has no vectors as wide as the encoder (of a folder's words those that fit are
/// taken), is a single token of the vocabulary already, was given twice, or holds characters that
/// prompts give a meaning.
WordTable word_table(const std::vector<LearnedWord>& words, const TextTower& tower);

}  // namespace weft
