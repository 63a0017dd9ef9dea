#include "diffusion/linked_network.h"

#include <algorithm>
#include <vector>

namespace weft {
namespace {

struct Span {
    int64_t first, count;
};

// Which frames each call runs.
std::vector<Span> calls_of(const FrameLinks& links, int64_t n) {
    std::vector<Span> calls;
    const int64_t references = links.rows_of_references();
    if (references > 0)
        calls.push_back({0, references});
    const int64_t most = links.rows_per_call > 0 ? links.rows_per_call : n;
    for (int64_t first = references; first < n; first += most)
        calls.push_back({first, std::min(most, n - first)});
    return calls;
}

}  // namespace

bool needs_source(const Injection& injection, const std::optional<FrameLinks>& links,
                  const NoiseLevel& level) {
    const StepClock clock(injection.steps);
    return (links && links->way == FrameLinks::Way::tokens) ||
           clock.within({0, std::max(injection.features, injection.maps)}, level);
}

TakenSites taken_sites(const Injection& injection, const NoiseLevel& level,
                       const UnetConfig& config) {
    const StepClock clock(injection.steps);
    const auto sites = [&](double share, const std::string& words, const std::string& usual) {
        if (!clock.within({0, share}, level))
            return SiteChoice();
        return SiteChoice(words.empty() ? usual : words);
    };
    return {
        .features = sites(injection.features, injection.feature_sites, injected_features(config)),
        .maps = sites(injection.maps, injection.map_sites, injected_maps(config))};
}

FrameLinks unlinked(int64_t n) {
    return {.sees = torch::empty({n, 0}, torch::kInt64)};
}

torch::Tensor run_linked(const FrameLinks& links, const LinkedBatch& batch,
                         const CoupledNetwork& network) {
    const int64_t n = batch.frames;
    TORCH_CHECK(links.sees.size(0) == n, "links of ", links.sees.size(0), " frames for ", n);
    TORCH_CHECK(n > 0 && batch.input.size(0) % n == 0, n, " frames in a batch of ",
                batch.input.size(0));
    TORCH_CHECK(!batch.source.defined() || batch.source.size(0) == n, "a source of ",
                batch.source.size(0), " frames for ", n);
    const int64_t branches = batch.input.size(0) / n;
    const bool has_source = batch.source.defined();
    LinkedRows coupling(
        links,
        {.branches = branches, .source = has_source, .match = std::min(batch.match, branches - 1)},
        batch.taken, batch.call);
    torch::Tensor out;
    int64_t number = 0;
    for (const auto& [first, count] : calls_of(links, n)) {
        const torch::Tensor frames = torch::arange(first, first + count);
        const torch::Tensor rows =
            (torch::arange(branches).unsqueeze(1) * n + frames.unsqueeze(0)).flatten();
        NetworkCall call{.input = batch.input.index_select(0, rows.to(batch.input.device())),
                         .text = batch.text.rows(rows),
                         .coupling = &coupling,
                         .number = number++};
        if (has_source) {
            call.input = torch::cat({batch.source.narrow(0, first, count), call.input});
            call.text = TextCondition::cat({batch.source_text.rows(frames), call.text});
        }
        coupling.enter(first, count);
        const torch::Tensor answer = network(call).slice(0, has_source ? count : 0);
        if (!out.defined()) {
            std::vector<int64_t> shape = answer.sizes().vec();
            shape.front() = batch.input.size(0);
            out = torch::empty(shape, answer.options());
        }
        out.index_copy_(0, rows.to(out.device()), answer);
    }
    return out;
}

}  // namespace weft
