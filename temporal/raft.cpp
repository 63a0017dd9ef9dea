#include "temporal/raft.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <optional>

#include "temporal/raft_layers.h"

namespace weft {
namespace {

constexpr int64_t downscale = 8;
constexpr int64_t least_side = 128;  // the coarsest of four scales keeps two positions

class RaftFlow : public FlowEstimator {
  public:
    RaftFlow(Raft network, torch::Device device) : network_(std::move(network)), device_(device) {}

    torch::Tensor operator()(const torch::Tensor& target,
                             const torch::Tensor& source) const override {
        TORCH_CHECK(target.sizes() == source.sizes() && target.dim() == 4 && target.size(1) == 3,
                    "target ", target.sizes(), ", source ", source.sizes());
        const auto margin = [](int64_t side) {
            const auto whole = (side + downscale - 1) / downscale * downscale;
            return std::max(whole, least_side) - side;
        };
        const std::array<int64_t, 4> margins{0, margin(target.size(3)), 0, margin(target.size(2))};
        const auto prepared = [&](const torch::Tensor& pictures) {
            return at::replication_pad2d(pictures.to(device_, torch::kFloat32), margins) * 2 - 1;
        };
        constexpr int64_t updates = 12;
        return network_(prepared(target), prepared(source), updates)
            .back()
            .slice(2, 0, target.size(2))
            .slice(3, 0, target.size(3))
            .to(target.device());
    }

  private:
    Raft network_;
    torch::Device device_;
};

torch::Tensor eight_times(const torch::Tensor& flow) {
    return downscale * at::upsample_bilinear2d(flow,
                                               {downscale * flow.size(2), downscale * flow.size(3)},
                                               /*align_corners=*/true);
}

}  // namespace

struct Raft::Network {
    raft::Encoder features;
    raft::Encoder context;
    raft::Update update;
    std::optional<raft::UpsampleMask> mask;  // large only

    explicit Network(const Weights& weights)
        : features(weights.scope("feature_encoder"), raft::Norm::Otherwise::instance),
          context(weights.scope("context_encoder"), raft::Norm::Otherwise::none),
          update(weights.scope("update_block"), context.out()) {
        if (weights.has("mask_predictor.conv.weight")) {
            mask.emplace(weights.scope("mask_predictor"), update.hidden_size());
        }
    }
};

Raft::Raft(const Weights& weights) : network_(std::make_unique<const Network>(weights)) {}

Raft::~Raft() = default;
Raft::Raft(Raft&&) noexcept = default;
Raft& Raft::operator=(Raft&&) noexcept = default;

std::vector<torch::Tensor> Raft::operator()(const torch::Tensor& target,
                                            const torch::Tensor& source, int64_t updates,
                                            bool all) const {
    TORCH_CHECK(target.size(2) % downscale == 0 && target.size(3) % downscale == 0 &&
                    std::min(target.size(2), target.size(3)) >= least_side,
                "RAFT takes multiples of 8 from 128 on, got ", target.sizes());
    const auto features = network_->features(torch::cat({target, source})).chunk(2);
    const raft::Correlation correlation(features[0], features[1]);
    const auto parts = network_->context(target).split_with_sizes(
        {network_->update.hidden_size(), network_->context.out() - network_->update.hidden_size()},
        1);
    auto hidden = parts[0].tanh();
    const auto context = parts[1].relu();
    const auto start = raft::positions(features[0]);
    auto flow = torch::zeros_like(start);

    std::vector<torch::Tensor> flows;
    for (int64_t i = 0; i < updates; ++i) {
        const auto seen = correlation.around(start + flow, network_->update.radius());
        const auto [state, change] = network_->update(hidden, context, seen, flow);
        hidden = state;
        flow = flow + change;
        if (all || i + 1 == updates) {
            flows.push_back(network_->mask ? network_->mask->upsampled(flow, hidden)
                                           : eight_times(flow));
        }
    }
    return flows;
}

std::unique_ptr<FlowEstimator> make_raft_flow(const FlowEstimatorOptions& options) {
    const auto weights = Weights::load({options.weights}, {.device = options.device});
    return std::make_unique<RaftFlow>(Raft(weights), options.device);
}

}  // namespace weft
