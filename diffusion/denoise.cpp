#include "diffusion/denoise.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace weft {

namespace {

// One row of the batch a guided step runs, and the factor of its answer.
struct Branch {
    double factor;
    TextCondition text;    // n texts
    torch::Tensor source;  // [n, c, h, w], or undefined where the network takes none
};

torch::Tensor for_frames(const torch::Tensor& tensor, int64_t frames) {
    if (!tensor.defined() || tensor.size(0) == frames)
        return tensor;
    TORCH_CHECK(tensor.size(0) == 1, "conditioning for ", tensor.size(0), " frames given ", frames);
    std::vector<int64_t> shape = tensor.sizes().vec();
    shape.front() = frames;
    return tensor.expand(shape);
}

// Deviation over all but the first dimension.
torch::Tensor spread_of(const torch::Tensor& answer) {
    return answer.std(at::IntArrayRef{1, 2, 3}, /*unbiased=*/true, /*keepdim=*/true);
}

// Lin et al., arXiv 2305.08891, eq. 15 and 16.
torch::Tensor rescaled(const torch::Tensor& guided, const torch::Tensor& text, double share) {
    return guided * (spread_of(text) / spread_of(guided) * share + (1 - share));
}

// Runs all branches as one batch and mixes their answers; the prompt's branch, where there is one,
// comes first.
torch::Tensor run_branches(const Network& network, const std::vector<Branch>& branches,
                           const torch::Tensor& x, double t, const Conditioning& given) {
    std::vector<torch::Tensor> inputs;
    std::vector<TextCondition> texts;
    for (const Branch& branch : branches) {
        inputs.push_back(branch.source.defined() ? torch::cat({x, branch.source.to(x)}, 1) : x);
        texts.push_back(branch.text);
    }
    const torch::Tensor out = network(torch::cat(inputs), t, TextCondition::cat(texts));
    const std::vector<torch::Tensor> parts = out.chunk(static_cast<int64_t>(branches.size()));
    torch::Tensor mixed = parts.front() * branches.front().factor;
    for (size_t i = 1; i < parts.size(); ++i) mixed = mixed + parts[i] * branches[i].factor;
    const bool guided = parts.size() > 1 && given.guidance != 0;
    return guided && given.guidance_rescale > 0
               ? rescaled(mixed, parts.front(), given.guidance_rescale)
               : mixed;
}

// Drops the branches that do not count.
std::vector<Branch> without_idle(std::vector<Branch> branches) {
    branches.erase(std::remove_if(branches.begin(), branches.end(),
                                  [](const Branch& branch) { return branch.factor == 0; }),
                   branches.end());
    for (const Branch& branch : branches)
        TORCH_CHECK(branch.text.defined(), "guidance needs the states of the negative prompt");
    return branches;
}

}  // namespace

Denoise text_guided(Network network, Prediction prediction, Conditioning conditioning) {
    return [network = std::move(network), prediction, given = std::move(conditioning)](
               const torch::Tensor& x, const NoiseLevel& level) {
        const int64_t n = x.size(0);
        const double g = given.interval.holds(level) ? given.guidance : 1;
        const std::vector<Branch> branches = without_idle({
            {g, given.text.expanded(n), {}},
            {1 - g, given.negative.expanded(n), {}},
        });
        return to_x0(prediction, run_branches(network, branches, x, level.t, given), x, level);
    };
}

Denoise source_guided(Network network, Prediction prediction, Conditioning conditioning) {
    return [network = std::move(network), prediction, given = std::move(conditioning)](
               const torch::Tensor& x, const NoiseLevel& level) {
        const int64_t n = x.size(0);
        const bool has_source = given.source.defined();
        const torch::Tensor none = torch::zeros_like(x);
        const torch::Tensor source = has_source ? for_frames(given.source, n) : none;
        const TextCondition text = given.text.expanded(n);
        const TextCondition negative = given.negative.expanded(n);
        const bool guides = given.interval.holds(level);
        const double g = guides ? given.guidance : 1;
        const double s = guides && has_source ? given.image_guidance : 1;
        const std::vector<Branch> branches =
            without_idle({{g, text, source}, {s - g, negative, source}, {1 - s, negative, none}});
        return to_x0(prediction, run_branches(network, branches, x, level.t, given), x, level);
    };
}

int64_t telling_branch(const Conditioning& conditioning, bool source_conditioned) {
    // The branch in question comes second, after the prompt's, where both are run.
    const bool has_source = source_conditioned && conditioning.source.defined();
    const double whole = has_source ? conditioning.image_guidance : 1;
    return conditioning.guidance != 0 && conditioning.guidance != whole ? 1 : 0;
}

}  // namespace weft
