#include "io/media/yuv_rows.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

namespace weft {
namespace {

struct Layout {
    int64_t width;
    int64_t height;
    ChromaStep step;
    ChromaLocation siting;
    int bits;
};

std::vector<Layout> layouts() {
    std::vector<Layout> list;
    for (const ChromaStep step : {ChromaStep{0, 0}, ChromaStep{1, 0}, ChromaStep{1, 1}}) {
        for (const auto siting : {ChromaLocation::left, ChromaLocation::center}) {
            for (const auto& [width, height] :
                 {std::pair(32, 6), std::pair(37, 7), std::pair(1, 1)})
                for (const int bits : {8, 10}) list.push_back({width, height, step, siting, bits});
        }
    }
    return list;
}

torch::Tensor tensor_of(const Matrix3& matrix) {
    std::vector<float> values;
    for (const auto& row : matrix) values.insert(values.end(), row.begin(), row.end());
    return torch::tensor(values).view({3, 3});
}

/// Random planes and a picture that looks at them.
struct Planes {
    explicit Planes(const Layout& layout) {
        picture.step = layout.step;
        picture.siting = layout.siting;
        picture.peak = static_cast<float>(std::exp2(layout.bits) - 1);
        const float peak = picture.peak;
        picture.matrix = {{{1.16F / peak, 0, 1.6F / peak},
                           {1.16F / peak, -0.4F / peak, -0.8F / peak},
                           {1.16F / peak, 2.0F / peak, 0}}};
        const auto inverse = torch::linalg_inv(tensor_of(picture.matrix));
        for (int i = 0; i < 3; ++i) {
            const bool chroma = i > 0;
            const int64_t half_w = chroma ? layout.step.log2_width : 0;
            const int64_t half_h = chroma ? layout.step.log2_height : 0;
            const int64_t width = (layout.width + half_w) >> half_w;
            const int64_t height = (layout.height + half_h) >> half_h;
            codes[i] = torch::randint(0, static_cast<int64_t>(peak) + 1, {height, width})
                           .to(layout.bits > 8 ? torch::kUInt16 : torch::kUInt8);
            picture.planes[i] = {.data = codes[i].data_ptr(),
                                 .stride_bytes = width * (layout.bits > 8 ? 2 : 1),
                                 .width = width,
                                 .height = height,
                                 .wide = layout.bits > 8};
            picture.offset[i] = chroma ? std::round(peak / 2) : 16;
            for (int j = 0; j < 3; ++j) picture.inverse[i][j] = inverse[i][j].item<float>();
        }
    }

    torch::Tensor chroma() const {
        return torch::stack({codes[1].to(torch::kFloat32), codes[2].to(torch::kFloat32)});
    }

    torch::Tensor offset() const {
        return torch::tensor(std::vector<float>(picture.offset.begin(), picture.offset.end()))
            .view({3, 1});
    }

    std::array<torch::Tensor, 3> codes;
    YuvPicture picture;
};

}  // namespace

TEST_CASE("row functions give the colours that chroma.h and the matrix define") {
    torch::manual_seed(1);
    for (const Layout& layout : layouts()) {
        INFO(layout.width << "x" << layout.height << " step " << layout.step.log2_width
                          << layout.step.log2_height << " " << layout.bits << " bits");
        REQUIRE(has_row_path(layout.step, layout.siting));
        Planes planes(layout);
        torch::Tensor rgb = torch::empty({3, layout.height, layout.width});
        rgb_from_planes(planes.picture, rgb.data_ptr<float>());
        const torch::Tensor chroma = upsample_chroma(planes.chroma(), layout.step, layout.siting,
                                                     layout.height, layout.width);
        const torch::Tensor all =
            torch::cat({planes.codes[0].to(torch::kFloat32).unsqueeze(0), chroma}).view({3, -1});
        const torch::Tensor expected =
            tensor_of(planes.picture.matrix).mm(all - planes.offset()).view_as(rgb);
        CHECK((rgb - expected).abs().max().item<double>() < 1e-5);
    }
}

TEST_CASE("row functions give the codes that chroma.h and the matrix define") {
    torch::manual_seed(2);
    for (const Layout& layout : layouts()) {
        INFO(layout.width << "x" << layout.height << " step " << layout.step.log2_width
                          << layout.step.log2_height << " " << layout.bits << " bits");
        Planes planes(layout);
        torch::Tensor rgb = torch::rand({3, layout.height, layout.width});
        rgb[0][0][0] = std::numeric_limits<float>::quiet_NaN();
        planes_from_rgb(rgb.data_ptr<float>(), planes.picture);
        const torch::Tensor codes =
            (tensor_of(planes.picture.inverse).mm(rgb.nan_to_num(0.0).view({3, -1})) +
             planes.offset())
                .view_as(rgb);
        const torch::Tensor chroma =
            downsample_chroma(codes.narrow(0, 1, 2), layout.step, layout.siting);
        const auto worst = [&](const torch::Tensor& stored, const torch::Tensor& exact) {
            return (stored.to(torch::kFloat32) - exact.clamp(0, planes.picture.peak))
                .abs()
                .max()
                .item<double>();
        };
        CHECK(worst(planes.codes[0], codes[0]) < 0.501);
        CHECK(worst(planes.codes[1], chroma[0]) < 0.501);
        CHECK(worst(planes.codes[2], chroma[1]) < 0.501);
    }
}

TEST_CASE("layouts without a row path are told apart") {
    CHECK_FALSE(has_row_path({1, 1}, ChromaLocation::top_left));
    CHECK_FALSE(has_row_path({2, 0}, ChromaLocation::left));
    CHECK_FALSE(has_row_path({0, 1}, ChromaLocation::left));
    CHECK(has_row_path({1, 0}, ChromaLocation::top_left));
}

}  // namespace weft
