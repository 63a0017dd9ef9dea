#include "diffusion/train/drawn_styles.h"

#include <algorithm>
#include <array>
#include <vector>

#include "diffusion/train/pixels.h"

namespace weft {
namespace {

constexpr int64_t k_cell_px = 8;

/// Contrast against the surroundings, so that soft and dark pictures get lines too: luma minus its
/// neighbourhood, over the local deviation; about -2..2.
torch::Tensor local_contrast(const torch::Tensor& grey) {
    const auto mean = blurred(grey, 8);
    const auto deviation = (blurred(grey.square(), 8) - mean.square()).clamp_min_(0).sqrt_();
    return (grey - mean) / (deviation + 0.045);
}

/// Dark lines on the darker side of edges, 0..1 (difference of Gaussians with a soft threshold,
/// Winnemoeller et al. 2012). `gain` 5..20; more draws fainter edges.
torch::Tensor ink_lines(const torch::Tensor& grey, double sigma_px, double gain) {
    const auto contrast = local_contrast(grey);
    const auto gap = blurred(contrast, sigma_px * 1.6) - blurred(contrast, sigma_px);
    return (gap * gain - 0.5).clamp_(0, 1);
}

/// Length of the gradient of `x` smoothed by `sigma_px`, per two px.
torch::Tensor slope(const torch::Tensor& x, double sigma_px) {
    const auto smooth = blurred(x, sigma_px);
    const auto dx = moved(smooth, 0, 1) - moved(smooth, 0, -1);
    const auto dy = moved(smooth, 1, 0) - moved(smooth, -1, 0);
    return (dx.square() + dy.square()).sqrt_();
}

/// Strength of edges on both sides, 0..1, from locally normalised contrast; sharp edges at
/// `sigma_px`, soft ones at three times that.
torch::Tensor edge_strength(const torch::Tensor& grey, double sigma_px, double gain) {
    const auto contrast = local_contrast(grey);
    const auto fine = slope(contrast, sigma_px) * gain;
    const auto soft = slope(contrast, 3 * sigma_px) * (1.8 * gain);
    return smoothstep(torch::maximum(fine, soft * 0.8), 0.25, 1.1);
}

torch::Tensor grey_picture(const torch::Tensor& grey) {
    return grey.expand({-1, 3, -1, -1});
}

torch::Tensor mix(const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& share) {
    return a + (b - a) * share;
}

/// Steps of 1 / `levels`, their flanks soft over a third of a step so that noise does not flicker.
torch::Tensor posterised(const torch::Tensor& x, double levels) {
    const auto scaled = x * levels;
    const auto base = scaled.floor();
    return (base + smoothstep(scaled - base, 0.33, 0.67)) / levels;
}

/// Means of the cells of 8 px, spread over the picture again; the last cells may be cut off.
torch::Tensor cell_means(const torch::Tensor& x) {
    const int64_t height = x.size(2);
    const int64_t width = x.size(3);
    const auto means = at::avg_pool2d(x, {k_cell_px, k_cell_px}, {k_cell_px, k_cell_px}, {0, 0},
                                      /*ceil_mode=*/true);
    return means.repeat_interleave(k_cell_px, 2)
        .repeat_interleave(k_cell_px, 3)
        .narrow(2, 0, height)
        .narrow(3, 0, width);
}

/// Position in the cell, -0.5..0.5: {rows [1, 1, h, 1], columns [1, 1, 1, w]}.
std::array<torch::Tensor, 2> cell_position(const torch::Tensor& like) {
    const auto at = [&](int64_t size) {
        const auto index = torch::arange(size, like.options());
        return (index.remainder(k_cell_px) + 0.5) / static_cast<double>(k_cell_px) - 0.5;
    };
    return {at(like.size(2)).view({1, 1, -1, 1}), at(like.size(3)).view({1, 1, 1, -1})};
}

}  // namespace

torch::Tensor pencil_sketch(const torch::Tensor& picture) {
    const auto grey = luma(picture);
    // Colour dodge leaves tone only beside edges; a little of the darks stays as hatching grey.
    const auto dodge = (grey + 0.04) / (blurred(grey, 5) + 0.04);
    const auto tone = dodge.clamp(0.35, 1.0) - 0.22 * smoothstep(grey, 0.5, 0.0);
    const auto lines = ink_lines(blurred(grey, 0.7), 1.0, 5.0);
    const auto drawn = (tone.clamp_(0, 1) * 0.97 - 0.75 * lines).clamp_(0.08, 1);
    return grey_picture(drawn) * colour_of(1.0, 0.995, 0.975, picture);
}

torch::Tensor charcoal_drawing(const torch::Tensor& picture) {
    const auto grey = luma(kuwahara(picture, 4));
    // Smudged darks in a few tones of the side of the stick, broad black strokes on edges.
    const auto lit = (grey + 0.12 * local_contrast(grey)).clamp_(0, 1);
    const auto tone = posterised(smoothstep(lit, 0.15, 0.75), 3.0);
    const auto lines = ink_lines(grey, 2.0, 6.0);
    const auto drawn = (0.10 + 0.72 * blurred(tone, 1.0)) * (1 - 0.92 * blurred(lines, 0.8));
    return grey_picture(drawn.clamp_(0.03, 1)) * colour_of(1.0, 0.985, 0.95, picture);
}

torch::Tensor watercolor_painting(const torch::Tensor& picture) {
    const auto calm = blurred(kuwahara(kuwahara(picture, 5), 3), 0.8);
    const auto grey = luma(calm);
    // Washes of few tones whose colours run into each other.
    const auto tone = posterised((0.12 + 0.9 * grey).clamp_(0, 1), 5.0);
    const auto wash = (tone + blurred(calm - grey, 2.5) * 2.2).clamp_(0, 1);
    // Pigment is thin inside a wash and gathers at its rim; lights are left as bare paper.
    const auto edge = edge_strength(grey, 1.0, 1.0);
    const auto rim = (blurred(edge, 3.0) * 1.3).clamp_(0, 1);
    const auto bare = smoothstep(grey, 0.55, 0.9);
    const auto density = (0.52 + 0.36 * rim + 0.45 * edge) * (1 - 0.75 * bare) + 0.15 * edge;
    return mix(colour_of(0.99, 0.985, 0.965, picture), wash, density.clamp(0, 1)).clamp_(0, 1);
}

torch::Tensor oil_painting(const torch::Tensor& picture) {
    const auto strokes = blurred(kuwahara(kuwahara(picture, 5), 5), 0.8);
    const auto rich = saturated(strokes, 1.6);
    const auto contrast = (rich - 0.46) * 1.12 + 0.46;
    // Thick paint catches light from the upper left on the borders of strokes.
    const auto height = luma(strokes);
    const auto relief = (moved(height, 1, 1) - moved(height, -1, -1)).clamp_(-0.12, 0.12) * 1.1;
    return ((contrast + relief) * colour_of(1.02, 0.98, 0.90, picture)).clamp_(0, 1);
}

torch::Tensor comic_book(const torch::Tensor& picture) {
    const auto flat = blurred(kuwahara(kuwahara(picture, 4), 3), 0.5);
    const auto grey = luma(flat);
    // Flat bright inks: three tones, the chroma well above the picture's own.
    const auto tone = posterised(smoothstep(grey, 0.0, 0.85), 3.0) * 0.72 + 0.24;
    const auto chroma = posterised(flat - grey, 10.0) * 2.6;
    const auto inks = (tone + chroma).clamp_(0, 1);
    const auto lines = ink_lines(luma(kuwahara(picture, 3)), 1.5, 7.0);
    return (inks * (1 - smoothstep(lines, 0.35, 0.85)) + 0.015).clamp_(0, 1);
}

torch::Tensor neon_lines(const torch::Tensor& picture) {
    const auto calm = blurred(kuwahara(picture, 3), 0.8);
    const auto grey = luma(calm);
    const auto edge = edge_strength(grey, 1.2, 1.9);
    // Tubes take the hue of what they outline; greys get cyan where dark and magenta where light.
    const auto hue = blurred(calm - grey, 2.0) * 3.5;
    const auto share = smoothstep(grey, 0.25, 0.65);
    const auto fallback =
        mix(colour_of(0.0, 0.80, 1.0, picture), colour_of(1.0, 0.10, 0.85, picture), share);
    const auto colour = (fallback + hue).clamp_(0, 1);
    const auto glow = blurred(colour * edge, 5.0) * 1.5;
    const auto core = edge.square() * 0.25;
    return (saturated(calm, 1.5) * 0.07 + colour * edge + glow + core).clamp_(0, 1);
}

torch::Tensor blueprint(const torch::Tensor& picture) {
    const auto grey = luma(blurred(kuwahara(picture, 3), 0.6));
    const auto edge = edge_strength(grey, 0.9, 1.1);
    const auto tone = posterised(smoothstep(grey, 0.0, 1.0), 3.0);
    const auto paper = colour_of(0.05, 0.20, 0.52, picture) * (0.75 + 0.5 * tone);
    return mix(paper, colour_of(0.90, 0.95, 1.0, picture), edge * 0.95).clamp_(0, 1);
}

torch::Tensor poster(const torch::Tensor& picture) {
    const auto grey = luma(blurred(kuwahara(picture, 5), 1.0));
    const auto lit = (grey + 0.06 * local_contrast(grey)).clamp_(0, 1);
    // Four inks of a screen print, dark to light.
    auto print = mix(colour_of(0.09, 0.14, 0.30, picture), colour_of(0.78, 0.17, 0.17, picture),
                     smoothstep(lit, 0.22, 0.27));
    print = mix(print, colour_of(0.95, 0.72, 0.40, picture), smoothstep(lit, 0.44, 0.49));
    return mix(print, colour_of(0.98, 0.94, 0.82, picture), smoothstep(lit, 0.66, 0.71));
}

torch::Tensor pixel_art(const torch::Tensor& picture) {
    const auto rich = saturated((cell_means(picture) - 0.5) * 1.15 + 0.5, 1.5).clamp_(0, 1);
    return posterised(rich, 5.0);
}

torch::Tensor mosaic(const torch::Tensor& picture) {
    const auto tiles = saturated(cell_means(picture), 1.4) * 1.08 + 0.02;
    const auto [y, x] = cell_position(picture);
    const auto grout = smoothstep(torch::maximum(x.abs(), y.abs()), 0.40, 0.50);
    // Each tile is lit from the upper left.
    const auto lit = tiles * (1 - 0.35 * (x + y));
    return mix(lit, colour_of(0.30, 0.28, 0.27, picture), grout * 0.85).clamp_(0, 1);
}

torch::Tensor halftone(const torch::Tensor& picture) {
    const auto grey = luma(blurred(picture, 1.5));
    const auto dark = 1 - smoothstep(grey + 0.05 * local_contrast(grey), 0.02, 0.95);
    // One round dot a cell whose area is the darkness; the dots of full black touch.
    const auto [y, x] = cell_position(picture);
    const auto distance = (x.square() + y.square()).sqrt();
    const auto ink = ((dark.sqrt() * 0.68 - distance) * 6 + 0.5).clamp_(0, 1);
    return mix(colour_of(0.97, 0.95, 0.90, picture), colour_of(0.08, 0.08, 0.10, picture), ink);
}

}  // namespace weft
