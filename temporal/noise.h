#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace weft {

/// What a noise draw is for; draws of different purposes are independent of each other.
enum class NoisePurpose : uint32_t {
    start = 0,
    step = 1,
    start_pieces = 2,  // cuts the pixels of `start` noise apart where it moves with the scene
    step_pieces = 3,
    patches = 4,  // places that patch_fill.h looks at
    merged_tokens = 5
};

/// Names one stream of random numbers. Equal keys give equal numbers, on any machine of the same
/// build, in any order, batch or thread: there is no generator with a state anywhere.
struct NoiseKey {
    uint64_t seed = 0;
    NoisePurpose purpose = NoisePurpose::start;
    /// Sampling step for NoisePurpose::step, else 0; in [0, 2^16).
    uint32_t step = 0;
    /// Frame number in the clip; -1 is the stream that all frames share.
    int64_t frame = 0;
};

/// Philox 4x32 with 10 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC
/// 2011): a bijection of the 128-bit counter for each 64-bit key.
std::array<uint32_t, 4> philox_4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// Independent N(0,1) numbers of the key's stream, float32 on the CPU. Element i depends on the key
/// and on i only: a larger tensor of the same key starts with the smaller one's numbers.
/// Thread-safe: yes.
torch::Tensor normal_noise(const NoiseKey& key, torch::IntArrayRef shape);

struct NoiseField;
class NoiseChain;

/// One way of relating the noise of a clip's frames; an entry of noise_kinds(). Every kind gives
/// each single frame exact N(0,1) noise; they differ in how frames correlate.
struct NoiseKind {
    const char* name;
    const char* help;  // one line
    bool moves;        // follows the scene's motion, which NoiseField::chain must know
    /// Noise of the key's frame.
    torch::Tensor (*frame_noise)(const NoiseField& field, const NoiseKey& key,
                                 torch::IntArrayRef shape);
};

/// All kinds, in the order help texts list them. To add one: its function and its line in
/// noise.cpp.
std::span<const NoiseKind> noise_kinds();
/// The kind of that name, or null.
const NoiseKind* find_noise_kind(const std::string& name);

/// The noise of a whole clip: which kind, from which seed. A value. Thread-safe: yes.
struct NoiseField {
    const NoiseKind* kind = nullptr;  // never null in use
    uint64_t seed = 0;
    /// `mixed` only: a >= 0; frames correlate by a^2 / (1 + a^2). 1 to 2 is usual (PYoCo, Ge et al.
    /// 2023).
    double share = 1.0;
    /// The clip's motion, for kinds that move; others leave it null. See noise_chain.h.
    std::shared_ptr<const NoiseChain> chain = nullptr;

    /// Noise of some frames of the clip (their numbers, not their places in a batch).
    /// @param shape [c, h, w] of one frame
    /// @return [frames, c, h, w], float32, CPU
    torch::Tensor draw(NoisePurpose purpose, uint32_t step, std::span<const int64_t> frames,
                       torch::IntArrayRef shape) const;
};

}  // namespace weft
