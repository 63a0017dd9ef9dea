#include "diffusion/token_merging.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <vector>

#include "diffusion/attention.h"
#include "diffusion/token_match.h"
#include "io/files/error.h"

namespace weft {
namespace {

constexpr double most = 0.75;  // one token of each 2x2 block stays

// Rows of each batch entry, [n, k] of its own `stride` rows -> [n * k] of all.
torch::Tensor flat(const torch::Tensor& rows, int64_t stride) {
    const torch::Tensor starts =
        torch::arange(rows.size(0), rows.options()).mul(stride).unsqueeze(1);
    return (rows + starts).flatten();
}

}  // namespace

void check(const TokenMerge& merge) {
    if (!(merge.ratio >= 0 && merge.ratio <= most))
        throw UsageError("--merge-tokens", c10::str(merge.ratio, " is no share to merge"),
                         "take 0 .. 0.75");
}

MergePlaces merge_places(int64_t height, int64_t width, const torch::Tensor& corner) {
    TORCH_CHECK(corner.dim() == 2 && corner.size(0) == height / 2 && corner.size(1) == width / 2,
                "corners ", corner.sizes(), " of a map of ", height, " x ", width);
    const torch::Tensor y = torch::arange(height / 2, corner.options()).unsqueeze(1);
    const torch::Tensor x = torch::arange(width / 2, corner.options()).unsqueeze(0);
    const torch::Tensor place =
        (2 * y + corner.div(2, "floor")) * width + 2 * x + corner.remainder(2);
    torch::Tensor is_kept = torch::zeros({height * width}, corner.options().dtype(torch::kBool));
    is_kept.index_fill_(0, place.flatten(), 1);
    return {is_kept.nonzero().flatten(), is_kept.logical_not().nonzero().flatten()};
}

MergedTokens::MergedTokens(const torch::Tensor& states, const MergePlaces& places, int64_t count) {
    const int64_t n = states.size(0), t = states.size(1);
    const int64_t kept = places.kept.size(0), loose = places.loose.size(0), left = loose - count;
    TORCH_CHECK(kept + loose == t && kept > 0 && left >= 0, count, " of ", t, " tokens with ", kept,
                " kept");
    // The most similar kept token of each loose one, and the loose ones by how similar it is.
    const torch::Tensor unit = unit_tokens(states);
    const torch::Tensor own = unit.index_select(1, places.loose);
    const torch::Tensor others = unit.index_select(1, places.kept);
    std::vector<torch::Tensor> nearest, scores;
    for (int64_t i = 0; i < n; ++i) {
        nearest.push_back(nearest_tokens(own[i], others[i]));
        scores.push_back((own[i] * others[i].index_select(0, nearest.back())).sum(1));
    }
    const torch::Tensor best = torch::stack(nearest);  // [n, loose]
    const torch::Tensor order = torch::stack(scores).argsort(/*stable=*/true, 1, true);
    const torch::Tensor going = order.narrow(1, 0, count), staying = order.narrow(1, count, left);

    // A short row holds the loose tokens that stay, then the kept ones.
    const auto places_of = [&](const torch::Tensor& which) {
        return places.loose.index_select(0, which.flatten()).view(which.sizes());
    };
    const torch::Tensor all_kept = places.kept.expand({n, kept});
    const torch::Tensor short_kept = torch::arange(left, left + kept, best.options());
    const torch::Tensor target = best.gather(1, going) + left;  // [n, count]
    torch::Tensor found = torch::empty({n, t}, best.options());
    found.scatter_(1, places_of(staying), torch::arange(left, best.options()).expand({n, left}));
    found.scatter_(1, places_of(going), target);
    found.scatter_(1, all_kept, short_kept.expand({n, kept}));

    stays_ = flat(torch::cat({places_of(staying), all_kept}, 1), t);
    goes_ = flat(places_of(going), t);
    into_ = flat(target, t - count);
    from_ = flat(found, t - count);
    size_ = torch::ones({n * (t - count), 1}, states.options());
    size_.index_add_(0, into_, torch::ones({n * count, 1}, states.options()));
}

torch::Tensor MergedTokens::merged(const torch::Tensor& tokens) const {
    const torch::Tensor rows = tokens.flatten(0, 1);
    torch::Tensor sums = rows.index_select(0, stays_);
    sums.index_add_(0, into_, rows.index_select(0, goes_));
    return sums.div_(size_).view({tokens.size(0), -1, tokens.size(2)});
}

torch::Tensor MergedTokens::unmerged(const torch::Tensor& tokens) const {
    return tokens.flatten(0, 1).index_select(0, from_).view({tokens.size(0), -1, tokens.size(2)});
}

TokenMerging::TokenMerging(double share, const MergePlaces& places, Coupling* inner)
    : share_(share), places_(places), inner_(inner) {}

torch::Tensor TokenMerging::attend(const Attention& attention, const torch::Tensor& states) {
    const auto hand_on = [&](const torch::Tensor& tokens) {
        return inner_ != nullptr ? inner_->attend(attention, tokens) : attention(tokens, tokens);
    };
    const int64_t loose = places_.loose.size(0), tokens = states.size(1);
    const auto count = std::min(loose, static_cast<int64_t>(share_ * static_cast<double>(tokens)));
    if (tokens != loose + places_.kept.size(0) || places_.kept.numel() == 0 || count == 0)
        return hand_on(states);
    const MergedTokens merge(states, places_, count);
    return merge.unmerged(hand_on(merge.merged(states)));
}

bool TokenMerging::takes_features(const std::string& site) const {
    return inner_ != nullptr && inner_->takes_features(site);
}

torch::Tensor TokenMerging::features(const std::string& site, const torch::Tensor& map) {
    return inner_ != nullptr ? inner_->features(site, map) : map;
}

MapSize finest_attention(const UnetConfig& config, MapSize latent) {
    const auto& types = config.down_block_types;
    // The last level is the middle's as well. Each downsampler has a stride of 2 over a padded map.
    for (size_t i = 0; i + 1 < types.size() && types[i] != "CrossAttnDownBlock2D"; ++i)
        latent = {(latent.height + 1) / 2, (latent.width + 1) / 2};
    return latent;
}

MergePlaces draw_places(const TokenMerge& merge, int64_t call, const MapSize& map) {
    const int64_t h = map.height / 2, w = map.width / 2;
    const torch::Tensor corner =
        merge.noise ? merge.noise(call, {h, w, 4}).argmax(2) : torch::zeros({h, w}, torch::kInt64);
    return merge_places(map.height, map.width, corner);
}

}  // namespace weft
