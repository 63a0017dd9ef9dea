#include "diffusion/winograd_conv.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>

#include <algorithm>
#include <string>

#include "diffusion/winograd.h"

namespace weft {
namespace {

struct Kernels {
    void (*spread)(const WinogradConv& conv, const WinogradTiles& tiles, int64_t begin,
                   int64_t end) = nullptr;
    void (*gather)(const WinogradConv& conv, const WinogradTiles& tiles, const WinogradPart& part,
                   float* scratch) = nullptr;
};

// For the vector unit that LibTorch uses; empty where there is none.
Kernels find_kernels() {
#if defined(__x86_64__)
    const std::string unit = at::get_cpu_capability();
    if (unit == "AVX512") {
        return {winograd_spread_avx512, winograd_gather_avx512};
    }
    if (unit == "AVX2") {
        return {winograd_spread_avx2, winograd_gather_avx2};
    }
#endif
    return {};
}

const Kernels& kernels_here() {
    static const Kernels kernels = find_kernels();
    return kernels;
}

constexpr int64_t kernel_side = 3;

int64_t rounded_up(int64_t count, int64_t step) {
    return (count + step - 1) / step * step;
}

int64_t tiles_over(int64_t pixels) {
    return rounded_up(pixels, winograd_tile) / winograd_tile;
}

torch::Tensor channels_last(const torch::Tensor& x) {
    return x.contiguous(torch::MemoryFormat::ChannelsLast);
}

int64_t threads_here() {
    return at::in_parallel_region() ? 1 : at::get_num_threads();
}

// Tiles that are spread before any is gathered: a block for every thread, which is in its cache
// when it is read, in bounded memory.
int64_t tiles_at_once(int64_t in) {
    constexpr int64_t most_bytes = 64 << 20;
    constexpr int64_t tile_bytes = winograd_points * static_cast<int64_t>(sizeof(float));
    const int64_t blocks = most_bytes / (tile_bytes * in * winograd_block);
    return std::clamp<int64_t>(blocks, 1, threads_here()) * winograd_block;
}

// How tiles and channels are shared out: the parts of each, as many together as there are threads.
struct Grid {
    int64_t tiles = 1;
    int64_t groups = 1;
};

// The one whose largest part is least. Parts of tiles cost a transform of the weight each.
Grid grid_of(int64_t tiles, int64_t groups) {
    constexpr int64_t transform = 4;  // as many products of tiles
    const int64_t threads = threads_here();
    Grid best;
    int64_t least = 0;
    for (int64_t parts = threads; parts >= 1; --parts) {
        const int64_t others = std::min(threads / parts, groups);
        const int64_t share = rounded_up((tiles + parts - 1) / parts, winograd_rows);
        const int64_t blocks = (share + winograd_block - 1) / winograd_block;
        const int64_t cost = (share + blocks * transform) * ((groups + others - 1) / others);
        if (least == 0 || cost < least) {
            least = cost;
            best = {parts, others};
        }
    }
    return best;
}

// Input channels that are multiplied at a time. All of them where there are tiles enough to make up
// for a weight that leaves the nearest caches, since then nothing but the answer is stored.
int64_t depth_of(int64_t tiles, int64_t in) {
    constexpr int64_t slice = 64;
    constexpr int64_t most_whole = 512;
    constexpr int64_t many_tiles = 128;
    return in <= most_whole && tiles >= many_tiles ? in : std::min(in, slice);
}

// The number of channels of the result that a call computes beside each other does not change them:
// every number is added up over the input channels in their order.
void run(WinogradConv conv, int64_t frames) {
    const Kernels& kernels = kernels_here();
    const int64_t total = frames * conv.tile_rows * conv.tile_columns;
    conv.depth = depth_of(total, conv.in);
    const int64_t groups = conv.channels / winograd_group;
    const int64_t room = std::min(rounded_up(total, winograd_rows), tiles_at_once(conv.in));
    const int64_t slices = (conv.in + conv.depth - 1) / conv.depth;
    const int64_t stride = room * conv.depth + winograd_group;  // points share no set of the cache
    const torch::Tensor spread = torch::empty({slices, winograd_points, stride}, torch::kFloat32);
    for (int64_t first = 0; first < total; first += room) {
        const int64_t count = std::min(room, total - first);
        const WinogradTiles tiles{.first = first,
                                  .count = count,
                                  .spread = spread.mutable_data_ptr<float>(),
                                  .stride = stride};
        at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
            kernels.spread(conv, tiles, begin, end);
        });
        const Grid grid = grid_of(count, groups);
        const int64_t share = rounded_up((count + grid.tiles - 1) / grid.tiles, winograd_rows);
        at::parallel_for(0, grid.tiles * grid.groups, 1, [&](int64_t begin, int64_t end) {
            const torch::Tensor scratch =
                torch::empty({winograd_scratch(conv.depth)}, torch::kFloat32);
            for (int64_t i = begin; i < end; ++i) {
                const int64_t tile = std::min(i / grid.groups * share, count);
                const int64_t part = i % grid.groups;
                kernels.gather(conv, tiles,
                               {.first_tile = tile,
                                .last_tile = std::min(tile + share, count),
                                .first_group = groups * part / grid.groups,
                                .last_group = groups * (part + 1) / grid.groups},
                               scratch.mutable_data_ptr<float>());
            }
        });
    }
}

// The kernel's view of a convolution whose maps are channels-last already.
WinogradConv view_of(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                     const ConvGeometry& geometry, torch::Tensor& out) {
    TORCH_CHECK(weight.size(1) == x.size(1) && weight.size(0) * winograd_group == out.size(1) &&
                    out.size(0) == x.size(0) &&
                    out.size(2) == x.size(2) + 2 * geometry.padding[0] - kernel_side + 1 &&
                    out.size(3) == x.size(3) + 2 * geometry.padding[1] - kernel_side + 1,
                "a weight ", weight.sizes(), " between maps ", x.sizes(), " and ", out.sizes());
    return {.x = x.const_data_ptr<float>(),
            .height = x.size(2),
            .width = x.size(3),
            .in = x.size(1),
            .above = geometry.padding[0],
            .left = geometry.padding[1],
            .depth = 0,
            .weight = weight.const_data_ptr<float>(),
            .bias = bias.defined() ? bias.const_data_ptr<float>() : nullptr,
            .added = nullptr,
            .out = out.mutable_data_ptr<float>(),
            .out_height = out.size(2),
            .out_width = out.size(3),
            .channels = out.size(1),
            .tile_rows = tiles_over(out.size(2)),
            .tile_columns = tiles_over(out.size(3))};
}

}  // namespace

bool suits_winograd(torch::ScalarType dtype, torch::IntArrayRef weight,
                    const ConvGeometry& geometry) {
    return dtype == torch::kFloat32 && kernels_here().spread != nullptr && geometry.stride == 1 &&
           weight[2] == kernel_side && weight[3] == kernel_side &&
           weight[0] % winograd_group == 0 && weight[1] % winograd_group == 0;
}

torch::Tensor winograd_weight(const torch::Tensor& weight) {
    const int64_t groups = weight.size(0) / winograd_group;
    return weight.detach()
        .reshape({groups, winograd_group, weight.size(1), winograd_taps})
        .permute({0, 2, 3, 1})
        .contiguous();
}

torch::Tensor plain_of_winograd(const torch::Tensor& weight) {
    return weight.permute({0, 3, 1, 2})
        .reshape({weight.size(0) * winograd_group, weight.size(1), kernel_side, kernel_side});
}

torch::Tensor winograd_conv2d(const torch::Tensor& x, const torch::Tensor& weight,
                              const torch::Tensor& bias, const ConvGeometry& geometry,
                              const torch::Tensor& other) {
    const torch::Tensor from = channels_last(x);
    torch::Tensor out = torch::empty({x.size(0), weight.size(0) * winograd_group,
                                      x.size(2) + 2 * geometry.padding[0] - kernel_side + 1,
                                      x.size(3) + 2 * geometry.padding[1] - kernel_side + 1},
                                     x.options(), torch::MemoryFormat::ChannelsLast);
    WinogradConv conv = view_of(from, weight, bias, geometry, out);
    torch::Tensor added;
    if (other.defined()) {
        added = channels_last(other.expand(out.sizes()));
        conv.added = added.const_data_ptr<float>();
    }
    run(conv, x.size(0));
    return out;
}

void add_winograd_conv2d(torch::Tensor& out, const torch::Tensor& x, const torch::Tensor& weight,
                         const torch::Tensor& bias, const ConvGeometry& geometry) {
    TORCH_CHECK(out.is_contiguous(torch::MemoryFormat::ChannelsLast), "out ", out.sizes(),
                " is not channels-last: ", out.strides());
    const torch::Tensor from = channels_last(x);
    WinogradConv conv = view_of(from, weight, bias, geometry, out);
    conv.added = conv.out;
    run(conv, x.size(0));
}

}  // namespace weft
