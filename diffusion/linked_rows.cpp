#include "diffusion/linked_rows.h"

#include <cmath>
#include <utility>

#include "diffusion/attention.h"
#include "diffusion/token_match.h"

namespace weft {
namespace {

using Way = FrameLinks::Way;

// The places of frames in every branch: branch by branch, `stride` rows each, after `offset`.
torch::Tensor in_branches(const torch::Tensor& frames, int64_t branches, int64_t stride,
                          int64_t offset = 0) {
    const torch::Tensor starts = torch::arange(branches) * stride + offset;
    return (starts.unsqueeze(1) + frames.unsqueeze(0)).flatten();  // [branches * m]
}

torch::Tensor pick(const torch::Tensor& rows, const torch::Tensor& index) {
    return rows.index_select(0, index.to(rows.device()));
}

// What each of two references counts.
std::vector<float> shares_of(const FrameLinks& links, int64_t frame,
                             const std::vector<int64_t>& columns) {
    std::vector<float> shares(columns.size(), 1.0F);
    if (columns.size() != 2 || !links.distance.defined())
        return shares;
    const auto first = links.distance[frame][columns[0]].item<double>();
    const auto second = links.distance[frame][columns[1]].item<double>();
    const double ratio = second / (first + second);
    const double share =
        links.blend == FrameLinks::Blend::published ? 1 / (1 + std::exp(-ratio)) : ratio;
    shares = {static_cast<float>(share), static_cast<float>(1 - share)};
    return shares;
}

}  // namespace

LinkedRows::LinkedRows(const FrameLinks& links, const RowLayout& layout, TakenSites taken,
                       int64_t call)
    : links_(links),
      layout_(layout),
      taken_(std::move(taken)),
      linked_(links.sites.empty() ? "all" : links.sites),
      call_(call) {}

void LinkedRows::enter(int64_t first, int64_t count) {
    count_ = count;
    references_here_ = first == 0 && links_.rows_of_references() > 0;
    others_follow_ = links_.rows_of_references() < links_.sees.size(0);
    TORCH_CHECK(!references_here_ || count == links_.references, "the first call runs the ",
                links_.references, " references, not ", count, " frames");
    make_groups(first, count);
}

void LinkedRows::make_groups(int64_t first, int64_t count) {
    struct Rows {
        std::vector<int64_t> frames, sees;
        std::vector<float> shares;
    };

    std::map<size_t, Rows> by_number;
    const auto sees = links_.sees.accessor<int64_t, 2>();
    for (int64_t i = 0; i < count; ++i) {
        std::vector<int64_t> columns;
        for (int64_t j = 0; j < sees.size(1); ++j)
            if (sees[first + i][j] >= 0)
                columns.push_back(j);
        Rows& rows = by_number[columns.size()];
        rows.frames.push_back(i);
        for (const int64_t column : columns) rows.sees.push_back(sees[first + i][column]);
        for (const float share : shares_of(links_, first + i, columns))
            rows.shares.push_back(share);
    }
    groups_.clear();
    for (const auto& [number, rows] : by_number) {
        const std::vector<int64_t> shape = {static_cast<int64_t>(rows.frames.size()),
                                            static_cast<int64_t>(number)};
        groups_.push_back({torch::tensor(rows.frames), torch::tensor(rows.sees).reshape(shape),
                           torch::tensor(rows.shares).reshape(shape)});
    }
}

torch::Tensor LinkedRows::attend(const Attention& attention, const torch::Tensor& states) {
    const Site site{attention, states, linked_.has(attention.site()),
                    layout_.source && taken_.maps.has(attention.site())};
    const bool alone = groups_.size() == 1 && groups_.front().sees.numel() == 0;
    if (!site.taken && (!site.linked || (alone && !keeps())))
        return attention(states, states);

    torch::Tensor out = torch::empty(states.sizes(), states.options());
    if (layout_.source)
        out.narrow(0, 0, count_).copy_(own_source(site));
    const torch::Tensor branch_rows = out.slice(0, layout_.source ? count_ : 0);
    if (!site.linked) {
        const torch::Tensor all = torch::arange(count_);
        branch_rows.copy_(attended(site, {all, {}, {}}, {}));
        return out;
    }
    SiteMemory kept = references_here_ ? seen(site) : SiteMemory{};
    if (!references_here_ && !alone)
        kept = of_references(attention.site());
    for (const Group& group : groups_) {
        const bool gathers = links_.way == Way::tokens && !references_here_ && group.sees.numel();
        const torch::Tensor answer =
            gathers ? gathered(site, group, kept) : attended(site, group, kept);
        branch_rows.index_copy_(
            0, in_branches(group.frames, layout_.branches, count_).to(out.device()), answer);
    }
    if (keeps())
        keep(site, std::move(kept), branch_rows);
    return out;
}

const SiteMemory& LinkedRows::of_references(const std::string& site) const {
    return links_.remembered ? links_.remembered->at(call_, site) : bank_.at(site);
}

// The source's rows see themselves alone.
torch::Tensor LinkedRows::own_source(const Site& site) const {
    const torch::Tensor own = site.states.narrow(0, 0, count_);
    return site.attention(own, own);
}

// The rows of frames in all branches.
torch::Tensor LinkedRows::branches_of(const Site& site, const torch::Tensor& frames) const {
    return pick(site.states,
                in_branches(frames, layout_.branches, count_, layout_.source ? count_ : 0));
}

// What the queries and keys of frames in all branches are made of.
torch::Tensor LinkedRows::mapped(const Site& site, const torch::Tensor& frames) const {
    return site.taken ? pick(site.states, frames).repeat({layout_.branches, 1, 1})
                      : branches_of(site, frames);
}

// Keys and values of all branches' rows in the references' call.
SiteMemory LinkedRows::seen(const Site& site) const {
    const torch::Tensor all = torch::arange(count_);
    return {.keys = site.attention.keys(mapped(site, all)),
            .values = site.attention.values(branches_of(site, all))};
}

torch::Tensor LinkedRows::attended(const Site& site, const Group& group,
                                   const SiteMemory& kept) const {
    const torch::Tensor states = mapped(site, group.frames);
    const torch::Tensor q = site.attention.queries(states);
    torch::Tensor k, v;
    if (kept.keys.defined() && references_here_) {
        const torch::Tensor own = in_branches(group.frames, layout_.branches, count_);
        k = pick(kept.keys, own);
        v = pick(kept.values, own);
    } else {
        k = site.attention.keys(states);
        v = site.attention.values(site.taken ? branches_of(site, group.frames) : states);
    }
    if (!group.sees.defined() || group.sees.numel() == 0)
        return site.attention.found(q, k, v);
    // Own tokens, then those of the frames seen: [b * m, (1 + k) * t, width].
    const torch::Tensor others =
        in_branches(group.sees.flatten(), layout_.branches, links_.references);
    const auto joined = [&](const torch::Tensor& own, const torch::Tensor& bank) {
        return torch::cat({own, pick(bank, others).reshape({own.size(0), -1, own.size(2)})}, 1);
    };
    return site.attention.found(q, joined(k, kept.keys), joined(v, kept.values));
}

torch::Tensor LinkedRows::gathered(const Site& site, const Group& group,
                                   const SiteMemory& kept) const {
    const int64_t m = group.frames.size(0), tokens = site.states.size(1);
    const torch::Tensor own = unit_tokens(pick(site.states, telling_rows(group.frames)));
    const torch::Tensor answers =
        kept.answers.reshape({layout_.branches, links_.references, kept.answers.size(1), -1});
    torch::Tensor out =
        torch::zeros({layout_.branches, m, tokens, answers.size(3)}, answers.options());
    const auto sees = group.sees.accessor<int64_t, 2>();
    const auto shares = group.shares.accessor<float, 2>();
    for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < sees.size(1); ++j) {
            const torch::Tensor places = nearest_tokens(own[i], kept.tokens[sees[i][j]]);
            const torch::Tensor found = answers.select(1, sees[i][j]).index_select(1, places);
            out.select(1, i).add_(found, shares[i][j]);  // [b, t, d]
        }
    }
    return out.flatten(0, 1);
}

// The rows whose tokens tell what corresponds.
torch::Tensor LinkedRows::telling_rows(const torch::Tensor& frames) const {
    return layout_.source ? frames : frames + layout_.match * count_;
}

void LinkedRows::keep(const Site& site, SiteMemory&& seen, const torch::Tensor& answers) {
    if (links_.way == Way::tokens) {
        const torch::Tensor telling = telling_rows(torch::arange(count_));
        seen = {.tokens = unit_tokens(pick(site.states, telling)), .answers = answers.clone()};
    }
    if (links_.record)
        links_.record->put(call_, site.attention.site(), seen);
    if (others_follow_)
        bank_[site.attention.site()] = std::move(seen);
}

bool LinkedRows::takes_features(const std::string& site) const {
    return layout_.source && taken_.features.has(site);
}

torch::Tensor LinkedRows::features(const std::string& /*site*/, const torch::Tensor& map) {
    const torch::Tensor source = map.narrow(0, 0, count_);
    return source.repeat({1 + layout_.branches, 1, 1, 1});
}

int64_t LinkedRows::bank_bytes() const {
    int64_t bytes = 0;
    for (const auto& [site, kept] : bank_) bytes += kept.bytes();
    return bytes;
}

}  // namespace weft
