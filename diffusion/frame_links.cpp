#include "diffusion/frame_links.h"

#include <algorithm>
#include <cstdlib>
#include <set>
#include <utility>
#include <vector>

namespace weft {
namespace {

// One row of `sees`.
void check_row(const FrameLinks& links, int64_t row) {
    if (links.sees.size(1) == 0)
        return;
    const auto named = links.sees.accessor<int64_t, 2>()[row];
    std::set<int64_t> others;
    for (int64_t i = 0; i < named.size(0); ++i) {
        TORCH_CHECK(named[i] >= -1 && named[i] < links.references, "row ", row, " sees row ",
                    named[i], " of ", links.references, " references");
        TORCH_CHECK(links.remembered || named[i] != row, "row ", row,
                    " is named to see itself, which it does anyway");
        TORCH_CHECK(named[i] < 0 || others.insert(named[i]).second, "row ", row, " sees row ",
                    named[i], " twice");
    }
    if (links.way != FrameLinks::Way::tokens || row < links.rows_of_references())
        return;
    TORCH_CHECK(others.size() <= 2, "row ", row, " is made from ", others.size(),
                " references; tokens blend two at most");
    TORCH_CHECK(others.size() < 2 || links.distance.defined(), "row ", row,
                " is made from two references of unknown distance");
    for (int64_t i = 0; i < named.size(0) && links.distance.defined(); ++i)
        TORCH_CHECK(named[i] < 0 || links.distance[row][i].item<double>() > 0, "row ", row,
                    " is no frames away from row ", named[i]);
}

// Rows of the references next to a frame: the last before it, the first after it.
std::vector<int64_t> around(std::span<const int64_t> references, int64_t frame) {
    int64_t before = -1, after = -1;
    for (int64_t row = 0; row < std::ssize(references); ++row) {
        const int64_t number = references[row];
        TORCH_CHECK(number != frame, "frame ", frame,
                    " is a reference and stands among the others");
        if (number < frame && (before < 0 || number > references[before]))
            before = row;
        if (number > frame && (after < 0 || number < references[after]))
            after = row;
    }
    std::vector<int64_t> rows;
    for (const int64_t row : {before, after})
        if (row >= 0)
            rows.push_back(row);
    return rows;
}

}  // namespace

FrameLinks shot_links(FrameLinks::Way way, std::span<const int64_t> references,
                      std::span<const int64_t> others) {
    const int64_t r = std::ssize(references);
    const int64_t columns = way == FrameLinks::Way::attention ? 3 : 2;
    FrameLinks links{.way = way,
                     .references = r,
                     .sees = torch::full({r + std::ssize(others), columns}, -1, torch::kInt64)};
    links.distance = torch::ones(links.sees.sizes());
    for (int64_t row = 1; row < r; ++row) links.sees[row][0] = 0;
    for (int64_t i = 0; i < std::ssize(others); ++i) {
        std::vector<int64_t> rows = around(references, others[i]);
        if (way == FrameLinks::Way::attention && r > 0 &&
            std::find(rows.begin(), rows.end(), 0) == rows.end())
            rows.push_back(0);
        for (int64_t j = 0; j < std::ssize(rows); ++j) {
            links.sees[r + i][j] = rows[j];
            links.distance[r + i][j] =
                static_cast<float>(std::abs(references[rows[j]] - others[i]));
        }
    }
    return links;
}

FrameLinks recording(std::shared_ptr<ReferenceBank> bank, int64_t references) {
    return {.references = references,
            .sees = torch::empty({references, 0}, torch::kInt64),
            .record = std::move(bank)};
}

FrameLinks seeing(std::shared_ptr<const ReferenceBank> bank, int64_t references, int64_t n) {
    return {.references = references,
            .sees = torch::arange(references).expand({n, references}).contiguous(),
            .remembered = std::move(bank)};
}

void check(const FrameLinks& links, int64_t n) {
    TORCH_CHECK(links.references >= 0 && links.rows_of_references() <= n, links.references,
                " references among ", n, " rows");
    TORCH_CHECK(links.rows_per_call >= 0, links.rows_per_call, " rows a call");
    TORCH_CHECK(links.sees.defined() && links.sees.dim() == 2 && links.sees.size(0) == n &&
                    links.sees.scalar_type() == torch::kInt64 && links.sees.device().is_cpu(),
                "sees must be [", n, ", k] i64 on the CPU");
    TORCH_CHECK(!links.distance.defined() || links.distance.sizes() == links.sees.sizes(),
                "distance ", links.distance.sizes(), " for sees ", links.sees.sizes());
    for (int64_t row = 0; row < n; ++row) check_row(links, row);
}

}  // namespace weft
