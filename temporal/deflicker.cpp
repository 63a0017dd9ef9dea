#include "temporal/deflicker.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "temporal/long_flow.h"
#include "temporal/sampling.h"
#include "temporal/smoothing.h"
#include "temporal/steady_flow.h"

namespace weft {
namespace {

/// The picture so small that its longer side is at most `longer_side`.
torch::Tensor reduced(const torch::Tensor& picture, int64_t longer_side) {
    const auto height = picture.size(2);
    const auto width = picture.size(3);
    const auto longer = std::max(height, width);
    if (longer <= longer_side) {
        return picture;
    }
    const auto side = [&](int64_t length) {
        return std::max<int64_t>(1, std::llround(static_cast<double>(length * longer_side) /
                                                 static_cast<double>(longer)));
    };
    return at::adaptive_avg_pool2d(picture, {side(height), side(width)});
}

/// A neighbour seen on the frame's grid.
struct Neighbour {
    torch::Tensor picture;  // [1, 3, h, w]
    torch::Tensor factor;   // [1, 3, h, w] log of how much brighter it is, slowly varying
    torch::Tensor flicker;  // [1, 3, h, w] the part of it that the guide does not show
    torch::Tensor held;     // [1, 1, h, w] in [0, 1]: share of the surroundings that is valid
    torch::Tensor valid;    // [1, 1, h, w] float, 0 or 1
    double weight;          // by distance
};

/// Log of the ratio of local means over what is valid, channel by channel, [1, 3, h, w].
torch::Tensor log_ratio(const torch::Tensor& other, const torch::Tensor& own,
                        const torch::Tensor& valid, int64_t radius) {
    constexpr double floor = 0.01;  // no ratios in the dark
    const auto means = smooth_mean(torch::cat({other * valid, own * valid}, 1), radius);
    return ((means.narrow(1, 0, 3).clamp_min(0) + floor) /
            (means.narrow(1, 3, 3).clamp_min(0) + floor))
        .log();
}

/// Log of the gain that brings a frame to the mean of its neighbourhood, [1, 3, h, w].
torch::Tensor common_gain(const std::vector<Neighbour>& neighbours, const torch::Tensor& like) {
    auto sum = torch::zeros_like(like);
    auto weights = torch::ones_like(like.narrow(1, 0, 1));  // the frame's own
    for (const Neighbour& other : neighbours) {
        sum += other.weight * other.held * other.flicker;
        weights += other.weight * other.held;
    }
    return sum / weights;
}

/// The mean of a frame and what looks like it in its neighbours, brightness made equal.
torch::Tensor common_detail(const torch::Tensor& frame, const std::vector<Neighbour>& neighbours,
                            double same) {
    auto sum = frame.clone();
    auto weights = torch::ones_like(frame.narrow(1, 0, 1));
    for (const Neighbour& other : neighbours) {
        const auto lit = other.picture * (-other.factor).exp();
        const auto away = box_mean((lit - frame).abs().mean(1, true), 1) / same;
        const auto weight = other.weight * other.valid * (-away.square()).exp();
        sum += weight * lit;
        weights += weight;
    }
    return sum / weights;
}

}  // namespace

Deflicker::Deflicker(const DeflickerOptions& options)
    : options_(options), estimator_(make_flow_estimator(options.estimator)) {
    TORCH_CHECK(options.reach >= 1, "a reach of ", options.reach, " frames");
}

FlowPair Deflicker::motion(const torch::Tensor& before, const torch::Tensor& now) const {
    const auto evidence = steadied(estimate_both_ways(*estimator_, now, before));
    // Flicker is what differs: no reason to distrust the flow.
    const FlowChecks checks{.photometric = 1};
    return {checked_flow(evidence, checks), checked_forward_flow(evidence, checks)};
}

/// The flow on entry `from` that leads to entry `to`, at the pictures' size.
FlowField Deflicker::way(size_t from, size_t to) const {
    std::vector<FlowPair> steps;
    for (size_t i = std::min(from, to) + 1; i <= std::max(from, to); ++i) {
        steps.push_back(window_[i].into);
    }
    const auto all = joined_from_first(steps).back();
    const auto& picture = window_[from].picture;
    return resized(from > to ? all.backward : all.forward, picture.size(2), picture.size(3));
}

torch::Tensor Deflicker::steadied_at(size_t index) const {
    const auto& here = window_[index];
    const auto shorter = static_cast<double>(std::min(here.picture.size(2), here.picture.size(3)));
    const auto radius = std::max<int64_t>(2, std::llround(options_.slow * shorter / 4));
    const auto reach = static_cast<size_t>(options_.reach);
    std::vector<Neighbour> neighbours;
    for (size_t i = index - std::min(index, reach); i < std::min(window_.size(), index + reach + 1);
         ++i) {
        if (i == index) {
            continue;
        }
        const auto flow = way(index, i);
        const auto valid = flow.valid.to(here.picture.scalar_type());
        const auto pulled = warp(window_[i].picture, flow.offset, Sampling::bicubic);
        const auto factor = log_ratio(pulled, here.picture, valid, radius);
        const auto expected =
            here.guided ? log_ratio(warp(window_[i].guide, flow.offset), here.guide, valid, radius)
                        : torch::zeros_like(factor);
        const auto away = static_cast<double>(i > index ? i - index : index - i);
        neighbours.push_back({.picture = pulled,
                              .factor = factor,
                              .flicker = factor - expected,
                              .held = smooth_mean(valid, radius),
                              .valid = valid,
                              .weight = 1 - away / static_cast<double>(reach + 1)});
    }
    auto result = here.picture;
    if (options_.detail > 0) {
        result =
            result + options_.detail * (common_detail(result, neighbours, options_.same) - result);
    }
    return result * (options_.strength * common_gain(neighbours, result)).exp();
}

std::optional<torch::Tensor> Deflicker::put(const torch::Tensor& picture,
                                            const torch::Tensor& guide) {
    TORCH_CHECK(picture.dim() == 4 && picture.size(0) == 1 && picture.size(1) == 3,
                "a frame is [1, 3, h, w], got ", picture.sizes());
    TORCH_CHECK(!guide.defined() || guide.sizes() == picture.sizes(), "guide ",
                guide.defined() ? guide.sizes() : torch::IntArrayRef(), ", frame ",
                picture.sizes());
    if (idle()) {
        return picture;
    }
    const torch::NoGradGuard inference;
    const bool guided = guide.defined();
    const auto seen = guided ? guide : picture;
    FlowPair into;
    if (!window_.empty()) {
        into = motion(reduced(window_.back().guide, options_.longer_side),
                      reduced(seen, options_.longer_side));
    }
    window_.push_back({picture, seen, guided, std::move(into)});
    const auto reach = static_cast<size_t>(options_.reach);
    if (window_.size() <= due_ + reach) {
        return std::nullopt;
    }
    auto result = steadied_at(due_);
    if (due_ == reach) {
        window_.pop_front();
    } else {
        ++due_;
    }
    return result;
}

std::vector<torch::Tensor> Deflicker::finish() {
    const torch::NoGradGuard inference;
    std::vector<torch::Tensor> rest;
    for (; due_ < window_.size(); ++due_) {
        rest.push_back(steadied_at(due_));
    }
    window_.clear();
    due_ = 0;
    return rest;
}

}  // namespace weft
