// Draws the clip of the demo: a lake below hills on a sunny day, seen by a slowly panning camera,
// with a sailing boat, a bouncing ball and a soft chord. Everything is drawn by formula, so the
// clip is ours.
//
//     make_clip OUT.mp4
//
// Coordinates are pixels of a 512x288 picture, y down; it is drawn at twice the size and averaged
// down.
#include <torch/types.h>

#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <map>
#include <numbers>
#include <utility>

#include "io/media/writer.h"
#include "samples/tone.h"
#include "temporal/noise.h"

namespace {

using torch::Tensor;
using Color = std::array<double, 3>;

constexpr int64_t width = 512;
constexpr int64_t height = 288;
constexpr int64_t frames = 100;
constexpr int64_t frame_rate = 25;
constexpr int64_t sharpness = 2;  // drawn pixels a side for each pixel
constexpr double horizon = 172;
constexpr double shore = 226;

/// Random grids by seed and octave, drawn once.
class Grids {
  public:
    static constexpr int64_t side = 256;

    const Tensor& grid(uint64_t seed, int octave) {
        auto& values = grids_[{seed, octave}];
        if (!values.defined()) {
            values = weft::normal_noise({.seed = seed, .frame = octave}, {1, 1, side, side});
        }
        return values;
    }

  private:
    std::map<std::pair<uint64_t, int>, Tensor> grids_;
};

/// 1 inside, 0 outside, from a signed distance in pixels (negative inside), with a soft edge.
Tensor inside(const Tensor& distance, double softness = 0.5) {
    return (0.5 - distance / (2 * softness)).clamp(0, 1);
}

/// The picture being drawn, and where its pixels lie.
class Canvas {
  public:
    Canvas(double time_s, Grids& grids) : time_s_(time_s), grids_(grids) {
        const auto axis = [](int64_t count) {
            return (torch::arange(count * sharpness, torch::kFloat32) + 0.5) / sharpness;
        };
        y_ = axis(height).unsqueeze(1).expand({height * sharpness, width * sharpness});
        x_ = axis(width).unsqueeze(0).expand({height * sharpness, width * sharpness});
        pixels_ = torch::zeros({3, height * sharpness, width * sharpness});
    }

    const Tensor& y() const { return y_; }

    const Tensor& x() const { return x_; }

    double time_s() const { return time_s_; }

    /// World x of each pixel for things at a depth: 1 moves with the ground at our feet, 0 never.
    Tensor world_x(double nearness) const { return x_ + pan() * nearness; }

    /// Screen x of a world x.
    double screen_x(double world, double nearness) const { return world - pan() * nearness; }

    /// Smooth noise about 0, sd about 0.5, over world coordinates: `octaves` of random grids, the
    /// first with `cell` pixels between its points.
    Tensor fractal(const Tensor& x, const Tensor& y, double cell, int octaves,
                   uint64_t seed) const {
        auto sum = torch::zeros_like(x);
        double weight = 0.5;
        for (int octave = 0; octave < octaves; ++octave, cell /= 2, weight /= 2) {
            // Wrap the world onto the grid; grid_sampler wants [-1, 1].
            const auto place = [&](const Tensor& coordinate) {
                return torch::remainder(coordinate / cell, Grids::side - 1) *
                           (2.0 / (Grids::side - 1)) -
                       1;
            };
            const auto at = torch::stack({place(x), place(y)}, -1).unsqueeze(0);
            sum += weight * torch::grid_sampler_2d(grids_.grid(seed, octave), at, 0, 1, true)[0][0];
        }
        return sum;
    }

    void paint(const Tensor& mask, const Tensor& color) {
        pixels_ = pixels_ + mask * (color - pixels_);
    }

    void paint(const Tensor& mask, const Color& color) { paint(mask, plain(color)); }

    /// A colour times a light per pixel.
    static Tensor lit(const Color& color, const Tensor& light) { return plain(color) * light; }

    static Tensor plain(const Color& color) {
        return torch::tensor({color[0], color[1], color[2]}, torch::kFloat32).view({3, 1, 1});
    }

    const Tensor& pixels() const { return pixels_; }

    /// [3, height, width], averaged down.
    Tensor picture() const {
        return torch::avg_pool2d(pixels_.unsqueeze(0), sharpness)[0].clamp(0, 1);
    }

  private:
    /// The camera: eases to the right by 70 pixels of the foreground.
    double pan() const {
        const double way = time_s_ / (static_cast<double>(frames) / frame_rate);
        return 70 * (way * way * (3 - 2 * way)) + 1.5 * std::sin(2.1 * time_s_);
    }

    double time_s_;
    Grids& grids_;
    Tensor x_;
    Tensor y_;
    Tensor pixels_;
};

void draw_sky(Canvas& canvas) {
    const auto height_share = (canvas.y() / horizon).clamp(0, 1);
    canvas.paint(torch::ones_like(height_share),
                 Canvas::plain({0.27, 0.52, 0.85}) * (1 - height_share) +
                     Canvas::plain({0.93, 0.88, 0.80}) * height_share);
    const auto distance = torch::hypot(canvas.x() - canvas.screen_x(392, 0.02), canvas.y() - 58);
    canvas.paint(torch::exp(-distance / 60) * 0.75, {1.0, 0.90, 0.66});
    canvas.paint(inside(distance - 17, 1.5), {1.0, 0.97, 0.84});
    const auto drift = canvas.world_x(0.05) + 3.0 * canvas.time_s();
    const auto cloud = canvas.fractal(drift, canvas.y() * 2.6, 90, 6, 21);
    const auto cover = ((cloud - 0.05) * 2.2).clamp(0, 1) * (1.15 - height_share).clamp(0, 0.9);
    const auto light = (1.03 - 0.25 * (cloud - 0.2).clamp(0, 1)).clamp(0, 1);
    canvas.paint(cover, Canvas::lit({1.0, 0.98, 0.95}, light));
}

/// A range of hills: its skyline, its colour lit by the slope of a texture, and haze.
struct Hills {
    double top;     // mean skyline, y
    double relief;  // height of its waves
    double cell;    // length of its waves
    double nearness;
    Color color;
    double haze;  // 0 clear .. 1 lost in the sky
    uint64_t seed;
};

void draw_hills(Canvas& canvas, const Hills& hills) {
    const auto x = canvas.world_x(hills.nearness);
    const auto line = torch::full_like(x, 0.5);
    const auto top = hills.top - hills.relief * canvas.fractal(x, line, hills.cell, 6, hills.seed);
    const auto here = canvas.fractal(x, canvas.y(), hills.cell / 3, 6, hills.seed + 1);
    const auto beside = canvas.fractal(x + 2, canvas.y() - 1, hills.cell / 3, 6, hills.seed + 1);
    const auto light = (1.0 + 2.2 * (here - beside) + 0.25 * here).clamp(0.4, 1.6);
    const auto color = Canvas::lit(hills.color, light) * (1 - hills.haze) +
                       Canvas::plain({0.78, 0.84, 0.92}) * hills.haze;
    canvas.paint(inside(top - canvas.y(), 0.7), color);
}

void draw_lake(Canvas& canvas) {
    const auto depth = ((canvas.y() - horizon - 22) / (shore - horizon - 22)).clamp(0, 1);
    const auto x = canvas.world_x(0.45);
    // Ripples are finer far away and move towards us.
    const auto scale = 0.35 + depth;
    const auto ripples = canvas.fractal(
        x / (4 * scale), canvas.y() / (0.55 * scale) - 9 * canvas.time_s(), 6, 4, 41);
    const auto color = Canvas::plain({0.62, 0.75, 0.84}) * (1 - depth) +
                       Canvas::plain({0.16, 0.36, 0.50}) * depth + ripples * 0.10;
    const auto lake = inside(horizon + 22 - canvas.y(), 0.6);
    canvas.paint(lake, color.clamp(0, 1));
    const auto path = torch::exp(-((canvas.x() - canvas.screen_x(392, 0.02)) / 26).square());
    canvas.paint(lake * path * (ripples * 1.6).clamp(0, 0.8), {1.0, 0.95, 0.80});
}

void draw_boat(Canvas& canvas) {
    const double x = canvas.screen_x(150 + 26 * canvas.time_s(), 0.5);
    const double y = 206 + 0.8 * std::sin(3 * canvas.time_s());
    const auto dx = canvas.x() - x;
    const auto dy = canvas.y() - y;
    canvas.paint(inside(torch::maximum((dx / 20).square() * 20 + dy * 1.6 - 8, -dy - 2), 1) * 0.45,
                 {0.10, 0.22, 0.30});
    const auto hull = torch::maximum(torch::maximum(-dy, dy - 6), dx.abs() + dy * 1.2 - 19);
    canvas.paint(inside(hull), Canvas::lit({0.55, 0.22, 0.14}, 1.1 - 0.05 * dy));
    canvas.paint(inside(torch::maximum((dx + 1).abs() - 0.8, torch::maximum(dy, -dy - 42))),
                 {0.30, 0.22, 0.16});
    const auto main_sail =
        torch::maximum(torch::maximum(-dx + 1, dy + 4), dx - 18 - (dy + 4) * 0.46);
    canvas.paint(inside(main_sail), Canvas::lit({0.98, 0.95, 0.88}, 1.0 - 0.008 * dx));
    const auto jib = torch::maximum(torch::maximum(dx + 3, dy + 5), -dx - 15 - (dy + 5) * 0.42);
    canvas.paint(inside(jib), Canvas::lit({0.86, 0.36, 0.22}, 1.0 + 0.01 * dx));
}

void draw_meadow(Canvas& canvas) {
    const auto x = canvas.world_x(1);
    const auto edge = shore + 6 * canvas.fractal(x, torch::full_like(x, 0.5), 130, 4, 51);
    const auto depth = ((canvas.y() - edge) / (height - shore)).clamp(0, 1);
    const auto blades = canvas.fractal(x * 2.2, canvas.y() * 0.7, 6, 4, 52);
    const auto patches = canvas.fractal(x, canvas.y() * 2.5, 60, 5, 53);
    const auto light = (0.95 + 0.28 * blades + 0.22 * patches - 0.15 * depth).clamp(0.3, 1.5);
    canvas.paint(inside(edge - canvas.y(), 0.8), Canvas::lit({0.38, 0.55, 0.20}, light));
    const auto flower = ((canvas.fractal(x, canvas.y() * 1.6, 3.2, 1, 54) - 1.02) * 6).clamp(0, 1);
    canvas.paint(flower * inside(edge + 8 - canvas.y(), 4), {0.98, 0.90, 0.45});
}

/// A tree: a trunk and a crown of overlapping balls with ragged edges, lit from the right.
void draw_tree(Canvas& canvas, double world, double foot, double size, uint64_t seed) {
    const auto dx = (canvas.x() - canvas.screen_x(world, 0.9)) / size;
    const auto dy = (canvas.y() - foot) / size;
    canvas.paint(
        inside(torch::maximum(dx.abs() - 0.07 + 0.03 * dy, torch::maximum(dy, -dy - 0.8)) * size),
        Canvas::lit({0.34, 0.24, 0.16}, 0.9 + 3 * dx));
    const auto ragged = 0.20 * canvas.fractal(dx * size + world, dy * size, 14, 5, seed);
    const std::array<std::array<double, 3>, 5> balls{{{0, -1.35, 0.48},
                                                      {-0.36, -1.0, 0.40},
                                                      {0.37, -1.02, 0.40},
                                                      {-0.12, -0.8, 0.36},
                                                      {0.16, -1.62, 0.30}}};
    auto distance = torch::full_like(dx, 9);
    for (const auto& [ball_x, ball_y, radius] : balls) {
        distance = torch::minimum(distance, torch::hypot(dx - ball_x, dy - ball_y) - radius);
    }
    const auto leaves = canvas.fractal(dx * size + world, dy * size, 5, 3, seed + 1);
    const auto light = (0.85 + 0.45 * dx - 0.30 * (dy + 1.2) + 0.40 * leaves).clamp(0.25, 1.5);
    canvas.paint(inside((distance + ragged) * size, 0.8), Canvas::lit({0.20, 0.42, 0.15}, light));
}

void draw_house(Canvas& canvas) {
    const auto dx = canvas.x() - canvas.screen_x(118, 0.85);
    const auto dy = canvas.y() - 238;
    const auto box = [&](double left, double top, double right, double bottom) {
        return inside(torch::maximum(torch::maximum(left - dx, dx - right),
                                     torch::maximum(top - dy, dy - bottom)));
    };
    const auto boards = 1 - 0.10 * (torch::remainder(dy, 4) < 0.7).to(torch::kFloat32);
    canvas.paint(box(-34, -36, 12, 0), Canvas::lit({0.80, 0.74, 0.64}, boards));
    canvas.paint(box(12, -36, 34, 0), Canvas::lit({0.95, 0.90, 0.80}, boards));
    canvas.paint(box(18, -70, 25, -46), {0.52, 0.30, 0.24});
    const auto tiles = 1 - 0.14 * (torch::remainder(dx + 2 * dy, 5) < 1).to(torch::kFloat32);
    const auto roof = inside(
        torch::maximum(torch::maximum(-dy - 62, dy + 34), (dx + 1).abs() - 40 - (dy + 34) * 0.55));
    canvas.paint(roof, Canvas::lit({0.66, 0.25, 0.17}, tiles * (1 - 0.006 * (dy + 48))));
    for (const double left : {-28.0, -8.0}) {
        canvas.paint(box(left - 1.5, -27.5, left + 12.5, -12.5), {0.97, 0.96, 0.92});
        canvas.paint(box(left, -26, left + 5, -14), {0.28, 0.40, 0.52});
        canvas.paint(box(left + 6, -26, left + 11, -14), {0.36, 0.50, 0.62});
    }
    canvas.paint(box(17, -22, 29, 0), {0.30, 0.42, 0.30});
}

void draw_ball(Canvas& canvas) {
    const double bounce = std::abs(std::sin(std::numbers::pi * canvas.time_s() / 0.8));
    const double x = canvas.screen_x(95 + 78 * canvas.time_s(), 1.0);
    const double y = 264 - 46 * bounce;
    constexpr double radius = 15;
    const auto shadow = torch::hypot((canvas.x() - x + 6) / 1.6, (canvas.y() - 278) * 2.4);
    canvas.paint(inside(shadow - radius * (0.9 - 0.3 * bounce), 5) * (0.55 - 0.25 * bounce),
                 {0.08, 0.14, 0.05});
    const auto dx = (canvas.x() - x) / radius;
    const auto dy = (canvas.y() - y) / radius;
    const auto dz = (1 - dx.square() - dy.square()).clamp_min(0).sqrt();
    const auto light = (0.45 * dx - 0.62 * dy + 0.64 * dz).clamp_min(0);
    // A white band that rolls with the ball.
    const double roll = 78 * canvas.time_s() / radius;
    const auto band = inside(((dx * std::cos(roll) + dy * std::sin(roll)).abs() - 0.22) * radius);
    const auto color =
        Canvas::plain({0.85, 0.10, 0.10}) * (1 - band) + Canvas::plain({0.96, 0.94, 0.90}) * band;
    const auto ball = inside((torch::hypot(dx, dy) - 1) * radius);
    canvas.paint(ball, color * (0.35 + 0.75 * light));
    canvas.paint(ball * (light.pow(24) * 0.8), {1.0, 1.0, 1.0});
}

Tensor draw(double time_s, Grids& grids) {
    Canvas canvas(time_s, grids);
    draw_sky(canvas);
    draw_hills(canvas, {140, 52, 150, 0.12, {0.36, 0.42, 0.52}, 0.55, 31});
    draw_hills(canvas, {168, 26, 110, 0.22, {0.26, 0.40, 0.34}, 0.32, 33});
    draw_hills(canvas, {186, 14, 70, 0.34, {0.22, 0.40, 0.20}, 0.10, 35});
    draw_lake(canvas);
    draw_boat(canvas);
    draw_meadow(canvas);
    draw_tree(canvas, 36, 244, 52, 61);
    draw_tree(canvas, 214, 236, 30, 63);
    draw_house(canvas);
    draw_tree(canvas, 486, 248, 66, 65);
    draw_tree(canvas, 560, 242, 44, 67);
    draw_ball(canvas);
    return canvas.picture();
}

void make_clip(const std::filesystem::path& out) {
    const auto tone = out.string() + ".tone.m4a";
    weft::write_tone(tone, static_cast<double>(frames) / frame_rate);
    weft::StreamInfo info;
    info.width = width;
    info.height = height;
    info.frame_rate = weft::Rational(frame_rate);
    info.time_base = weft::Rational(1, 12800);
    info.color = {1, 1, 1, weft::ColorRange::limited, weft::ChromaLocation::left};
    const auto sink = weft::create_video(
        out, info, {.crf = 23, .preset = "veryslow", .side_source = tone, .overwrite = true});
    Grids grids;
    for (int64_t i = 0; i < frames; ++i) {
        const auto time = weft::Time(i, frame_rate);
        sink->put({draw(time.seconds(), grids), i, time, weft::Time(1, frame_rate), info.color});
    }
    sink->finish();
    std::filesystem::remove(tone);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: make_clip OUT.mp4\n");
        return 2;
    }
    try {
        make_clip(argv[1]);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "make_clip: %s\n", error.what());
        return 1;
    }
}
