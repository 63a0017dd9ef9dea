#include "temporal/propagate.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "temporal/brightness.h"
#include "temporal/smoothing.h"

namespace weft {
namespace {

/// A donor as seen on the frame's grid.
struct Pulled {
    torch::Tensor edited;  // [1, 3, h, w], brightness carried over
    torch::Tensor trust;   // [1, 1, h, w] in (0, 1]: validity x likeness
};

void check_sizes(const torch::Tensor& source, std::span<const Donor> donors) {
    TORCH_CHECK(source.dim() == 4 && source.size(0) == 1 && source.size(1) == 3,
                "a frame is [1, 3, h, w], got ", source.sizes());
    TORCH_CHECK(!donors.empty(), "a frame needs at least one donor");
    for (const Donor& donor : donors) {
        TORCH_CHECK(donor.edited.sizes() == source.sizes(), "donor's edit ", donor.edited.sizes(),
                    ", frame ", source.sizes());
        TORCH_CHECK(donor.source.sizes() == source.sizes(), "donor ", donor.source.sizes(),
                    ", frame ", source.sizes());
        TORCH_CHECK(donor.distance > 0, "donor at distance ", donor.distance);
    }
}

/// 1 well inside of what is valid, 0 at its edge and beyond, [1, 1, h, w].
torch::Tensor soft_validity(const torch::Tensor& valid, int64_t seam_px) {
    const auto grown = dilated(~valid, seam_px).to(torch::kFloat32);
    return 1 - torch::max(smooth_mean(grown, seam_px / 2), (~valid).to(torch::kFloat32));
}

/// The donor's edit on the frame's grid, and how far it can be trusted there.
Pulled pull(const torch::Tensor& frame, const Donor& donor, const PropagateOptions& options) {
    const auto key = warp(donor.source, donor.way.offset, Sampling::bilinear);
    const auto ratio =
        1 + options.carry * (brightness_ratio(frame, key, donor.way.valid, options.brightness) - 1);
    const auto edited = warp(donor.edited, donor.way.offset, options.sampling) * ratio;

    const auto misfit = box_mean((frame - key * ratio).abs().mean(1, true), 2) / options.look;
    // Invalid pixels and the seam's outer edge keep a little weight: it decides where nothing
    // better is there.
    constexpr double seam_trust = 1e-4;
    constexpr double least_trust = 1e-8;
    const auto soft = soft_validity(donor.way.valid, options.seam_px) +
                      seam_trust * donor.way.valid.to(torch::kFloat32);
    return {.edited = edited.clamp_min(0), .trust = soft * (-misfit.square()).exp() + least_trust};
}

/// Shares of time: inverse to the distance, sum 1.
std::vector<double> shares_by_distance(std::span<const Donor> donors) {
    double sum = 0;
    for (const Donor& donor : donors) {
        sum += 1 / donor.distance;
    }
    std::vector<double> shares;
    for (const Donor& donor : donors) {
        shares.push_back(1 / donor.distance / sum);
    }
    return shares;
}

torch::Tensor weighted_sum(const torch::Tensor& pictures, const torch::Tensor& weights) {
    return (pictures * weights).sum(0, true);
}

/// How much donors differ in what both can be trusted about, 0 (mix them) to 1 (choose one),
/// [1, 1, h, w]. For two donors of equal trust it compares |a - b| with the limits.
torch::Tensor conflict(const torch::Tensor& edits, const torch::Tensor& trust,
                       const PropagateOptions& options) {
    constexpr int64_t radius = 2;
    const auto shape = box_mean(edits, radius);
    const auto part = trust / trust.sum(0, true);
    const auto away = (shape - weighted_sum(shape, part)).abs().mean(1, true);
    const auto difference = box_mean(2 * weighted_sum(away, part), radius);
    return smooth_step(difference, options.agree, options.differ);
}

/// The mean of the donors with their own contrast of detail.
torch::Tensor mixed(const torch::Tensor& edits, const torch::Tensor& weights, double contrast) {
    auto mean = weighted_sum(edits, weights);
    if (contrast <= 0 || edits.size(0) == 1) {
        return mean;
    }
    // Detail is what differs from the local mean. Its variance is measured on luma.
    constexpr int64_t radius = 4;
    constexpr double floor = 1e-6;
    const auto own = edits - box_mean(edits, radius);
    const auto detail = weighted_sum(own, weights);
    const auto wanted = box_mean(weighted_sum(luma_of(own).square(), weights), radius);
    const auto got = box_mean(luma_of(detail).square(), radius);
    // Independent inputs need this factor, alike ones none.
    const auto most = weights.square().sum(0, true).rsqrt();
    const auto gain = torch::min(((wanted + floor) / (got + floor)).sqrt().clamp_min(1), most) - 1;
    return mean + contrast * gain * detail;
}

}  // namespace

Propagation propagated(const torch::Tensor& source, std::span<const Donor> donors,
                       const PropagateOptions& options) {
    check_sizes(source, donors);
    const torch::NoGradGuard inference;
    std::vector<torch::Tensor> edits;
    std::vector<torch::Tensor> trusts;
    std::vector<torch::Tensor> valid;
    for (const Donor& donor : donors) {
        auto pulled = pull(source, donor, options);
        edits.push_back(std::move(pulled.edited));
        trusts.push_back(std::move(pulled.trust));
        valid.push_back(donor.way.valid);
    }
    const auto edited = torch::cat(edits);  // [donors, 3, h, w]
    const auto trust = torch::cat(trusts);  // [donors, 1, h, w]
    const auto share =
        torch::tensor(shares_by_distance(donors), edited.options()).view({-1, 1, 1, 1});

    // Where donors are in conflict, the strongest takes it all; slowly where all can be trusted.
    const auto least = std::get<0>(trust.min(0, true)).clamp(0, 1);
    const auto choice = options.doubted + (options.trusted - options.doubted) * least;
    const auto power = 1 + (choice - 1) * conflict(edited, trust, options);
    auto weights = trust * share;
    weights = (weights / std::get<0>(weights.max(0, true))).pow(power);
    weights = weights / weights.sum(0, true);

    const auto highest = edited.max().clamp_min(1);
    return {.picture = mixed(edited, weights, options.contrast).clamp_min(0).minimum(highest),
            .holes = ~torch::cat(valid).any(0, true)};
}

}  // namespace weft
