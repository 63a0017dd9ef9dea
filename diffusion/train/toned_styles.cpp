#include "diffusion/train/toned_styles.h"

#include <array>
#include <vector>

#include "diffusion/train/pixels.h"

namespace weft {
namespace {

torch::Tensor mix(const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& share) {
    return a + (b - a) * share;
}

/// Colours of equally spaced stops over x in 0..1: [n, 1, h, w] -> [n, 3, h, w].
torch::Tensor ramp(const torch::Tensor& x, const std::vector<std::array<double, 3>>& stops) {
    const auto last = static_cast<double>(stops.size() - 1);
    auto colour =
        colour_of(stops[0][0], stops[0][1], stops[0][2], x).expand({x.size(0), 3, -1, -1});
    for (size_t i = 1; i < stops.size(); ++i) {
        const auto share = (x * last - static_cast<double>(i - 1)).clamp_(0, 1);
        colour = mix(colour, colour_of(stops[i][0], stops[i][1], stops[i][2], x), share);
    }
    return colour.contiguous();
}

}  // namespace

torch::Tensor night(const torch::Tensor& picture) {
    const auto grey = luma(picture);
    const auto moonlit = (picture * 0.55 + grey * 0.45) * colour_of(0.20, 0.29, 0.56, picture) +
                         colour_of(0.005, 0.015, 0.07, picture);
    // What was very bright keeps glowing, as lamps do.
    const auto lamp = smoothstep(grey, 0.80, 1.0) * 0.35;
    return mix(moonlit, colour_of(0.75, 0.72, 0.62, picture), lamp).clamp_(0, 1);
}

torch::Tensor sunset(const torch::Tensor& picture) {
    const auto grey = luma(picture);
    // Purple shadows, orange mid-tones, yellow lights; a share of the own colour stays.
    const auto sky = ramp(
        grey, {{{0.10, 0.03, 0.14}, {0.55, 0.16, 0.22}, {0.98, 0.50, 0.18}, {1.0, 0.88, 0.55}}});
    const auto warm = picture * colour_of(1.15, 0.74, 0.48, picture);
    return (sky * 0.6 + warm * 0.4 + 0.01).clamp_(0, 1);
}

torch::Tensor winter_snow(const torch::Tensor& picture) {
    const auto grey = luma(blurred(picture, 0.7));
    // Snow lies on what is light, and on top of things: where it is brighter above than below.
    const auto step = (moved(grey, -3, 0) - moved(grey, 3, 0)).clamp_(-0.5, 0.5);
    const auto cap = smoothstep(blurred(moved(step, -2, 0), 1.5), 0.03, 0.16);
    const auto cover = (smoothstep(grey, 0.18, 0.75) * 0.85 + cap * 0.8).clamp_(0, 0.95);
    const auto cold =
        (saturated(picture, 0.35) * 0.85 + 0.14) * colour_of(0.94, 1.0, 1.08, picture);
    const auto snow = colour_of(0.93, 0.96, 1.0, picture) * (0.86 + 0.14 * grey);
    return mix(cold, snow, cover).clamp_(0, 1);
}

torch::Tensor autumn(const torch::Tensor& picture) {
    const auto red = picture.narrow(1, 0, 1);
    const auto green = picture.narrow(1, 1, 1);
    const auto blue = picture.narrow(1, 2, 1);
    // Leaves turn: what is green becomes orange, the rest gets a golden light.
    const auto leafy = smoothstep(green - torch::maximum(blue, red * 0.92), -0.02, 0.12);
    const auto turned = torch::cat({green * 1.35 + 0.12, green * 0.62 + 0.02, blue * 0.35}, 1);
    const auto golden =
        picture * colour_of(1.16, 0.93, 0.66, picture) + colour_of(0.07, 0.02, 0.0, picture);
    return mix(golden, turned, leafy).clamp_(0, 1);
}

torch::Tensor fog(const torch::Tensor& picture) {
    const auto soft = saturated(blurred(picture, 1.8), 0.45);
    const auto mist = colour_of(0.80, 0.82, 0.84, picture);
    // Light parts are taken for the distance and vanish first.
    const auto share = 0.58 + 0.27 * smoothstep(blurred(luma(picture), 4.0), 0.25, 0.85);
    return mix(soft, mist, share).clamp_(0, 1);
}

torch::Tensor sepia_vintage(const torch::Tensor& picture) {
    const auto grey = luma(blurred(picture, 0.7));
    return ramp(grey, {{{0.20, 0.12, 0.07}, {0.62, 0.45, 0.28}, {0.97, 0.88, 0.70}}});
}

torch::Tensor black_and_white(const torch::Tensor& picture) {
    const auto grey = smoothstep(luma(picture), -0.12, 1.12);
    const auto strong = ((grey - 0.5) * 1.25 + 0.5).clamp_(0, 1);
    return strong.expand({-1, 3, -1, -1}).contiguous();
}

torch::Tensor thermal_camera(const torch::Tensor& picture) {
    const auto grey = luma(blurred(picture, 1.2));
    return ramp(grey, {{{0.02, 0.0, 0.12},
                        {0.25, 0.0, 0.55},
                        {0.75, 0.05, 0.50},
                        {0.98, 0.40, 0.08},
                        {1.0, 0.82, 0.10},
                        {1.0, 1.0, 0.85}}});
}

torch::Tensor cyberpunk(const torch::Tensor& picture) {
    const auto grey = luma(picture);
    const auto duotone =
        ramp(smoothstep(grey, 0.0, 1.0),
             {{{0.04, 0.01, 0.14}, {0.42, 0.04, 0.55}, {0.98, 0.16, 0.68}, {0.20, 0.85, 0.98}}});
    return (duotone * 0.85 + saturated(picture, 1.6) * 0.15).clamp_(0, 1);
}

}  // namespace weft
