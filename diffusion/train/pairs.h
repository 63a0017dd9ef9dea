#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "diffusion/train/styles.h"

namespace weft {

/// How often each kind of training pair is drawn: probabilities; what they leave of 1 are style
/// edits (a scene, a style's words, the filtered scene).
struct PairOptions {
    double identity = 0.10;  // empty text, target = source: the neutral point of guidance
    double scene_edit =
        0.12;  // a scene drawn twice: recolour, remove, add, other sky, other ground
    double generation = 0.25;  // no source; the text is a caption, at times with a style
    /// Of the generation pairs: one large thing "a COLOUR KIND" on a simple or scenic ground.
    double simple = 0.55;
    /// Of the generation pairs: a styled target, "CAPTION, STYLE".
    double styled = 0.25;
    /// Of the generation pairs: empty text (the neutral point without a source).
    double empty = 0.08;
};

/// Training pairs for an InstructPix2Pix-like model (https://arxiv.org/abs/2211.09800).
struct PairBatch {
    torch::Tensor source;           // [n, 3, h, w] in 0..1; zeros where has_source is false
    torch::Tensor target;           // [n, 3, h, w] in 0..1
    std::vector<std::string> text;  // n instructions or captions, lower case ASCII
    torch::Tensor has_source;       // [n] bool on the device; false = generate from text
};

/// Pairs `first` .. `first` + `count` - 1 of the endless list that `seed` names.
struct ListPart {
    uint64_t seed = 0;
    int64_t first = 0;
    int64_t count = 0;
};

/// Draws these pairs on `device`, float32. A pure function of its arguments: any split into batches
/// gives the same pairs. Sizes of things scale with the picture, style filters act at the scale of
/// pixels (a frame 256 to 512 wide); patterns with a period (pixel art, mosaic, halftone) repeat
/// every 8 px from the top left corner, so crops should start at multiples of 8. Sides of 16 px and
/// more. Thread-safe: yes.
PairBatch make_pairs(const ListPart& part, int64_t height, int64_t width,
                     const torch::Device& device, const PairOptions& options = {});

/// Pictures alone, for the autoencoder: scenes, one in three with a style. [count, 3, h, w] in
/// 0..1.
torch::Tensor make_scenes(const ListPart& part, int64_t height, int64_t width,
                          const torch::Device& device);

/// Texts as make_pairs gives them, for learning the tokenizer; `count` of them after a list that
/// holds every word the data can use, so even count = 0 covers all words.
std::vector<std::string> sample_captions(uint64_t seed, int64_t count);

}  // namespace weft
