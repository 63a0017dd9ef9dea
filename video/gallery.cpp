#include "video/gallery.h"

#include <ATen/ATen.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numbers>

#include "io/media/picture.h"
#include "video/resample.h"

namespace weft {
namespace {

constexpr int64_t thumb_side = 320;
constexpr double least_valid_share = 0.2;
constexpr size_t most_spread = 8;

std::string base64(const std::string& bytes) {
    constexpr const char* letters =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    for (size_t i = 0; i < bytes.size(); i += 3) {
        const auto byte = [&](size_t place) -> uint32_t {
            return place < bytes.size() ? static_cast<unsigned char>(bytes[place]) : 0;
        };
        const uint32_t three = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
        text += letters[three >> 18];
        text += letters[three >> 12 & 63];
        text += i + 1 < bytes.size() ? letters[three >> 6 & 63] : '=';
        text += i + 2 < bytes.size() ? letters[three & 63] : '=';
    }
    return text;
}

torch::Tensor thumb(const torch::Tensor& picture) {
    const auto height = picture.size(2);
    const auto width = picture.size(3);
    const double scale = std::min(
        1.0, static_cast<double>(thumb_side) / static_cast<double>(std::max(height, width)));
    const auto scaled = [&](int64_t side) {
        return std::max<int64_t>(1, std::llround(static_cast<double>(side) * scale));
    };
    return resized(picture, Size{scaled(width), scaled(height)})[0];
}

/// Red, green and blue of hues in [0, 1) at full saturation: each channel is a trapezoid.
torch::Tensor hue_colors(const torch::Tensor& hue) {
    std::vector<torch::Tensor> channels;
    for (const double shift : {0.0, 2.0, 4.0}) {
        const auto place = at::remainder(hue * 6 - shift, 6.0);  // 0 at the channel's own hue
        channels.push_back((at::minimum(place, 6 - place) * -1 + 2).clamp(0, 1));
    }
    return torch::stack(channels);
}

/// Black, red, yellow, white from 0 to `most`; blue where the mask is false.
torch::Tensor error_colors(const torch::Tensor& error, const torch::Tensor& valid, double most) {
    const auto heat = error / most;
    const auto hot = torch::cat({heat * 3, heat * 3 - 1, heat * 3 - 2}, 1).clamp(0, 1);
    const auto blue = torch::tensor({0.1, 0.15, 0.4}, torch::kFloat32).view({1, 3, 1, 1});
    return torch::where(valid, hot, blue);
}

Exhibit exhibit_of(const MeasuredPair& pair, double excess) {
    constexpr double brightest_error = 0.25;
    const auto length = pair.flow.offset.square().sum(1).sqrt();
    const double longest = std::max(1.0, length.quantile(0.99).item<double>());
    return {
        .figures = pair.figures,
        .excess = excess,
        .source = jpeg_address(thumb(pair.source)),
        .edited = jpeg_address(thumb(pair.edited)),
        .flow = jpeg_address(thumb(flow_colors(pair.flow.offset, longest).unsqueeze(0))),
        .error = jpeg_address(thumb(error_colors(pair.error, pair.flow.valid, brightest_error))),
        .longest_px = longest};
}

/// Keeps every second frame of a wall that is full.
void thin_out(std::vector<Exhibit>& spread) {
    size_t kept = 0;
    for (size_t i = 0; i < spread.size(); i += 2) {
        if (kept != i) {
            spread[kept] = std::move(spread[i]);
        }
        ++kept;
    }
    spread.resize(kept);
}

}  // namespace

torch::Tensor flow_colors(const torch::Tensor& offset, double longest_px) {
    const auto x = offset.select(1, 0)[0];
    const auto y = offset.select(1, 1)[0];
    const auto saturation = ((x.square() + y.square()).sqrt() / longest_px).clamp(0, 1);
    const auto hue = at::atan2(y, x) / (2 * std::numbers::pi) + 0.5;
    return 1 - saturation.unsqueeze(0) * (1 - hue_colors(hue));
}

std::string jpeg_address(const torch::Tensor& picture) {
    namespace fs = std::filesystem;
    const fs::path file =
        fs::temp_directory_path() / ("weft-page-" + std::to_string(getpid()) + ".jpg");
    write_picture(file, picture.clamp(0, 1));
    std::ifstream stream(file, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
    std::error_code ignored;
    fs::remove(file, ignored);
    return "data:image/jpeg;base64," + base64(bytes);
}

void Gallery::see(const MeasuredPair& pair) {
    if (pair.clip == 0) {
        identity_error_ = pair.figures.warp_error;
        return;
    }
    Wall& wall = walls_[pair.clip];
    const double excess = pair.figures.warp_error - identity_error_;
    const bool ranks = wall.worst.size() < worst_count || excess > wall.worst.back().excess;
    if (wall.seen > 0 && ranks && pair.figures.valid_share >= least_valid_share) {
        const auto after =
            std::find_if(wall.worst.begin(), wall.worst.end(),
                         [&](const Exhibit& other) { return other.excess < excess; });
        wall.worst.insert(after, exhibit_of(pair, excess));
        wall.worst.resize(std::min(wall.worst.size(), worst_count));
    }
    if (wall.seen % wall.spacing == 0) {
        wall.spread.push_back(exhibit_of(pair, excess));
        if (wall.spread.size() == most_spread) {
            thin_out(wall.spread);
            wall.spacing *= 2;
        }
    }
    ++wall.seen;
}

std::vector<Exhibit> Gallery::worst(size_t clip) const {
    const auto found = walls_.find(clip);
    return found == walls_.end() ? std::vector<Exhibit>() : found->second.worst;
}

std::vector<Exhibit> Gallery::spread(size_t clip) const {
    const auto found = walls_.find(clip);
    return found == walls_.end() ? std::vector<Exhibit>() : found->second.spread;
}

}  // namespace weft
