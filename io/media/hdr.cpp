#include "io/media/hdr.h"

#include <c10/util/Exception.h>

#include <array>
#include <cmath>

namespace weft {
namespace {

constexpr int pq_transfer = 16;
constexpr int hlg_transfer = 18;
constexpr double white_nits = 203;      // BT.2408, table 1
constexpr double hlg_peak_nits = 1000;  // nominal display of BT.2100
constexpr double hlg_gamma = 1.2;
constexpr double sdr_gamma = 2.4;
constexpr double gain_offset = 1.0 / 64;

// SMPTE ST 2084 (BT.2100, table 4).
constexpr double m1 = 2610.0 / 16384;
constexpr double m2 = 2523.0 / 4096 * 128;
constexpr double c1 = 3424.0 / 4096;
constexpr double c2 = 2413.0 / 4096 * 32;
constexpr double c3 = 2392.0 / 4096 * 32;

/// PQ codes 0..1 to nits.
torch::Tensor pq_light(const torch::Tensor& codes) {
    const torch::Tensor root = codes.clamp(0, 1).pow(1 / m2);
    return (root - c1).clamp_min(0).div(c2 - c3 * root).pow(1 / m1).mul(10'000);
}

/// The inverse.
torch::Tensor pq_codes(const torch::Tensor& nits) {
    const torch::Tensor root = nits.clamp(0, 10'000).div(10'000).pow(m1);
    return (c1 + c2 * root).div(1 + c3 * root).pow(m2);
}

double pq_code(double nits) {
    const double root = std::pow(nits / 10'000, m1);
    return std::pow((c1 + c2 * root) / (1 + c3 * root), m2);
}

// Hybrid log-gamma (BT.2100, table 5).
constexpr double hlg_a = 0.17883277;
constexpr double hlg_b = 1 - 4 * hlg_a;
constexpr double hlg_c = 0.559910729529562;  // 0.5 - a ln(4 a)

/// Luminance [1, h, w] of BT.2020 light.
torch::Tensor luminance(const torch::Tensor& rgb) {
    return rgb[0].mul(0.2627).add(rgb[1], 0.6780).add(rgb[2], 0.0593).unsqueeze(0);
}

/// HLG codes to nits on the nominal display: inverse OETF, then OOTF.
torch::Tensor hlg_light(const torch::Tensor& codes) {
    const torch::Tensor e = codes.clamp(0, 1);
    const torch::Tensor scene = torch::where(e.le(0.5), e.square().div(3),
                                             e.sub(hlg_c).div(hlg_a).exp().add(hlg_b).div(12));
    const torch::Tensor y = luminance(scene).clamp_min(1e-9);
    return scene * y.pow(hlg_gamma - 1) * hlg_peak_nits;
}

/// The inverse.
torch::Tensor hlg_codes(const torch::Tensor& nits) {
    const torch::Tensor display = nits.clamp_min(0).div(hlg_peak_nits);
    const torch::Tensor y = luminance(display).clamp_min(1e-12);
    const torch::Tensor scene = (display * y.pow((1 - hlg_gamma) / hlg_gamma)).clamp(0, 1);
    return torch::where(scene.le(1.0 / 12), scene.mul(3).sqrt(),
                        scene.mul(12).sub(hlg_b).clamp_min(1e-6).log().mul(hlg_a).add(hlg_c));
}

/// Chromaticities of red, green, blue; white is D65.
using Primaries = std::array<std::array<double, 2>, 3>;

Primaries primaries_of(int code) {
    switch (code) {
        case 9:  // BT.2020
            return {{{0.708, 0.292}, {0.170, 0.797}, {0.131, 0.046}}};
        case 12:  // P3
            return {{{0.680, 0.320}, {0.265, 0.690}, {0.150, 0.060}}};
        default:  // BT.709
            return {{{0.640, 0.330}, {0.300, 0.600}, {0.150, 0.060}}};
    }
}

/// XYZ from light of these primaries (SMPTE RP 177). [3, 3]
torch::Tensor xyz_matrix(int code) {
    torch::Tensor columns = torch::empty({3, 3}, torch::kFloat64);
    const Primaries primaries = primaries_of(code);
    for (int i = 0; i < 3; ++i) {
        const auto [x, y] = primaries.at(i);
        columns[0][i] = x / y;
        columns[1][i] = 1;
        columns[2][i] = (1 - x - y) / y;
    }
    const torch::Tensor white =
        torch::tensor({0.3127 / 0.3290, 1.0, (1 - 0.3127 - 0.3290) / 0.3290}, torch::kFloat64);
    return columns * torch::linalg_inv(columns).matmul(white);
}

torch::Tensor converted(const torch::Tensor& matrix, const torch::Tensor& rgb) {
    return matrix.mm(rgb.reshape({3, -1})).view_as(rgb);
}

/// BT.2390's curve of the largest component: untouched below a knee, `peak` becomes white.
/// @param largest [1, h, w] nits
torch::Tensor curve(const torch::Tensor& largest, double peak) {
    const double top = pq_code(peak);
    const double white = pq_code(white_nits) / top;
    const double knee = 1.5 * white - 0.5;
    const torch::Tensor e = pq_codes(largest).div(top).clamp_max(1);
    const torch::Tensor t = (e - knee).div(1 - knee).clamp_min(0);
    const torch::Tensor t2 = t.square();
    const torch::Tensor t3 = t2 * t;
    const torch::Tensor spline =
        (2 * t3 - 3 * t2 + 1) * knee + (t3 - 2 * t2 + t) * (1 - knee) + (3 * t2 - 2 * t3) * white;
    return pq_light(torch::where(e.le(knee), e, spline).mul(top));
}

torch::Tensor sdr_light(const torch::Tensor& codes) {
    return codes.clamp(0, 1).pow(sdr_gamma);
}

}  // namespace

torch::Tensor rolled_off(const torch::Tensor& light, double peak_nits) {
    const torch::Tensor largest = light.amax(0, /*keepdim=*/true).clamp_min(1e-6);
    return light * (curve(largest * white_nits, peak_nits).div(white_nits) / largest);
}

torch::Tensor with_gain(const torch::Tensor& light, const torch::Tensor& unedited,
                        const torch::Tensor& edited) {
    const torch::Tensor gain =
        (edited.clamp_min(0) + gain_offset) / (unedited.clamp_min(0) + gain_offset);
    return (light + gain_offset) * gain - gain_offset;
}

bool needs_hdr_map(const StreamInfo& info) {
    return is_hdr(info.color) || info.is_float;
}

HdrMap::HdrMap(const ColorTag& tag, double peak_nits)
    : transfer_(tag.transfer == pq_transfer    ? Transfer::pq
                : tag.transfer == hlg_transfer ? Transfer::hlg
                                               : Transfer::linear),
      peak_nits_(transfer_ == Transfer::hlg ? hlg_peak_nits : peak_nits) {
    TORCH_CHECK(peak_nits > white_nits, "a peak of ", peak_nits, " cd/m2 is not above white");
    constexpr int unspecified = 2;
    const bool wide = transfer_ != Transfer::linear && tag.primaries == unspecified;
    const torch::Tensor to =
        torch::linalg_inv(xyz_matrix(1)).mm(xyz_matrix(wide ? 9 : tag.primaries));
    to_bt709_ = to.to(torch::kFloat32);
    from_bt709_ = torch::linalg_inv(to).to(torch::kFloat32);
}

torch::Tensor HdrMap::light(const torch::Tensor& codes) const {
    if (transfer_ == Transfer::linear)
        return codes;
    return (transfer_ == Transfer::hlg ? hlg_light(codes) : pq_light(codes)).div(white_nits);
}

torch::Tensor HdrMap::codes(const torch::Tensor& light) const {
    if (transfer_ == Transfer::linear)
        return light;
    const torch::Tensor nits = light.mul(white_nits);
    return transfer_ == Transfer::hlg ? hlg_codes(nits) : pq_codes(nits);
}

torch::Tensor HdrMap::shown(const torch::Tensor& hdr) const {
    TORCH_CHECK(hdr.dim() == 3 && hdr.size(0) == 3, "a picture of [3, h, w], got ", hdr.sizes());
    const torch::Tensor sdr = converted(to_bt709_, rolled_off(light(hdr), peak_nits_));
    return sdr.clamp(0, 1).pow(1 / sdr_gamma);
}

torch::Tensor HdrMap::returned(const torch::Tensor& hdr, const torch::Tensor& shown,
                               const torch::Tensor& edited) const {
    const torch::Tensor before = converted(from_bt709_, sdr_light(shown));
    const torch::Tensor after = converted(from_bt709_, sdr_light(edited));
    const torch::Tensor result = codes(with_gain(light(hdr), before, after));
    return torch::where(edited.eq(shown).all(0, /*keepdim=*/true), hdr, result);
}

}  // namespace weft
