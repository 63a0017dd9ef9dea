#include "temporal/noise.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "temporal/noise_chain.h"

namespace weft {
namespace {

constexpr int64_t shared_frame = -1;

constexpr uint32_t low_word(uint64_t value) {
    return static_cast<uint32_t>(value);
}

constexpr uint32_t high_word(uint64_t value) {
    return static_cast<uint32_t>(value >> 32);
}

/// Two uniforms to two normals (Box and Muller 1958). In double, so that machines agree after
/// rounding to float; (x + 1) / 2^32 is in (0, 1], so the logarithm is finite.
std::array<float, 2> box_muller(uint32_t first, uint32_t second) {
    constexpr double scale = 0x1p-32;
    const double radius = std::sqrt(-2.0 * std::log((first + 1.0) * scale));
    const double angle = 2.0 * std::numbers::pi * (second * scale);
    return {static_cast<float>(radius * std::cos(angle)),
            static_cast<float>(radius * std::sin(angle))};
}

torch::Tensor fixed_noise(const NoiseField& /*field*/, const NoiseKey& key,
                          torch::IntArrayRef shape) {
    NoiseKey shared = key;
    shared.frame = shared_frame;
    return normal_noise(shared, shape);
}

torch::Tensor independent_noise(const NoiseField& /*field*/, const NoiseKey& key,
                                torch::IntArrayRef shape) {
    return normal_noise(key, shape);
}

/// sqrt(a^2/(1+a^2)) shared + sqrt(1/(1+a^2)) own: unit variance (PYoCo, section 4.1).
torch::Tensor mixed_noise(const NoiseField& field, const NoiseKey& key, torch::IntArrayRef shape) {
    const double length = std::sqrt(1.0 + field.share * field.share);
    const auto shared = fixed_noise(field, key, shape);
    return shared * (field.share / length) + normal_noise(key, shape) * (1.0 / length);
}

torch::Tensor warped_noise(const NoiseField& field, const NoiseKey& key, torch::IntArrayRef shape) {
    return field.chain->at(key, shape, warp_by_particles);
}

torch::Tensor transported_noise(const NoiseField& field, const NoiseKey& key,
                                torch::IntArrayRef shape) {
    return field.chain->at(key, shape, warp_by_transport);
}

constexpr std::array kinds{
    NoiseKind{"fixed", "one noise for all frames: steadiest", false, fixed_noise},
    NoiseKind{"independent", "fresh noise for every frame: flickers", false, independent_noise},
    NoiseKind{"mixed", "part shared, part own (--noise-share)", false, mixed_noise},
    NoiseKind{"warped", "moves with the scene, exactly", true, warped_noise},
    NoiseKind{"transported", "moves with the scene, by whole cells: faster", true,
              transported_noise},
};

}  // namespace

std::array<uint32_t, 4> philox_4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
    constexpr uint64_t multiplier_0 = 0xD2511F53;
    constexpr uint64_t multiplier_1 = 0xCD9E8D57;
    constexpr uint32_t weyl_0 = 0x9E3779B9;
    constexpr uint32_t weyl_1 = 0xBB67AE85;
    for (int round = 0; round < 10; ++round) {
        const uint64_t product_0 = multiplier_0 * counter[0];
        const uint64_t product_1 = multiplier_1 * counter[2];
        counter = {high_word(product_1) ^ counter[1] ^ key[0], low_word(product_1),
                   high_word(product_0) ^ counter[3] ^ key[1], low_word(product_0)};
        key = {key[0] + weyl_0, key[1] + weyl_1};
    }
    return counter;
}

torch::Tensor normal_noise(const NoiseKey& key, torch::IntArrayRef shape) {
    auto noise = torch::empty(shape, torch::kFloat32);
    const int64_t count = noise.numel();
    TORCH_CHECK(count <= int64_t{1} << 34, "a noise stream has 2^34 numbers, asked for ", count);
    TORCH_CHECK(key.step < 1U << 16, "sampling step ", key.step, " is out of range");
    const auto frame = static_cast<uint64_t>(key.frame);
    const uint32_t stream = static_cast<uint32_t>(key.purpose) << 16 | key.step;

    // One Philox block gives four normals; the counter is (block, stream, frame).
    auto* values = noise.data_ptr<float>();
    for (int64_t block = 0; block * 4 < count; ++block) {
        const auto bits =
            philox_4x32({static_cast<uint32_t>(block), stream, low_word(frame), high_word(frame)},
                        {low_word(key.seed), high_word(key.seed)});
        const auto first = box_muller(bits[0], bits[1]);
        const auto second = box_muller(bits[2], bits[3]);
        const std::array<float, 4> normals{first[0], first[1], second[0], second[1]};
        for (int64_t i = 0; i < std::min<int64_t>(4, count - block * 4); ++i) {
            values[block * 4 + i] = normals[i];
        }
    }
    return noise;
}

std::span<const NoiseKind> noise_kinds() {
    return kinds;
}

const NoiseKind* find_noise_kind(const std::string& name) {
    for (const NoiseKind& kind : kinds) {
        if (name == kind.name) {
            return &kind;
        }
    }
    return nullptr;
}

torch::Tensor NoiseField::draw(NoisePurpose purpose, uint32_t step, std::span<const int64_t> frames,
                               torch::IntArrayRef shape) const {
    TORCH_CHECK(kind != nullptr, "a noise field needs a kind");
    TORCH_CHECK(!frames.empty(), "noise of no frames");
    TORCH_CHECK(!kind->moves || chain != nullptr, kind->name, " noise needs the clip's motion");
    std::vector<torch::Tensor> drawn;
    for (const int64_t frame : frames) {
        TORCH_CHECK(frame >= 0, "frame number ", frame, " is negative");
        drawn.push_back(kind->frame_noise(
            *this, {.seed = seed, .purpose = purpose, .step = step, .frame = frame}, shape));
    }
    return torch::stack(drawn);  // [frames, c, h, w]
}

}  // namespace weft
