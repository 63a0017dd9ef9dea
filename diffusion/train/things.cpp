#include "diffusion/train/things.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "diffusion/train/pixels.h"

namespace weft {
namespace {

using torch::Tensor;

// Signed distances in units of the thing's size: negative inside.

Tensor circle(const Tensor& x, const Tensor& y, double radius) {
    return (x.square() + y.square()).sqrt_().sub_(radius);
}

Tensor ellipse(const Tensor& x, const Tensor& y, double rx, double ry) {
    // Near the border this is close to the distance, which is all that anti-aliasing asks.
    return ((x / rx).square() + (y / ry).square()).sqrt_().sub_(1).mul_(std::min(rx, ry));
}

Tensor rectangle(const Tensor& x, const Tensor& y, double half_width, double half_height) {
    return torch::maximum(x.abs() - half_width, y.abs() - half_height);
}

Tensor capsule(const Tensor& x, const Tensor& y, const std::array<double, 5>& ends_radius) {
    const auto [ax, ay, bx, by, radius] = ends_radius;
    const double dx = bx - ax;
    const double dy = by - ay;
    const auto t = (((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy)).clamp_(0, 1);
    return circle(x - ax - t * dx, y - ay - t * dy, radius);
}

/// A convex polygon, corners in clockwise order on the screen (y down).
Tensor convex(const Tensor& x, const Tensor& y, const std::vector<std::array<double, 2>>& corners) {
    Tensor distance;
    for (size_t i = 0; i < corners.size(); ++i) {
        const auto [ax, ay] = corners[i];
        const auto [bx, by] = corners[(i + 1) % corners.size()];
        const double length = std::hypot(bx - ax, by - ay);
        const double nx = (by - ay) / length;
        const double ny = (ax - bx) / length;
        const auto side = x * nx + y * ny - (ax * nx + ay * ny);
        distance = distance.defined() ? torch::maximum(distance, side) : side;
    }
    return distance;
}

/// `count` equal sectors folded onto one whose axis points up.
std::array<Tensor, 2> folded(const Tensor& x, const Tensor& y, int64_t count) {
    const double sector = 2 * M_PI / static_cast<double>(count);
    const auto angle = torch::atan2(x, -y);
    const auto local = angle - (angle / sector).round() * sector;
    const auto radius = (x.square() + y.square()).sqrt_();
    return {radius * local.sin(), -radius * local.cos()};
}

/// Paints parts of one thing a picture; colours are per picture.
class Brush {
  public:
    Brush(Canvas& canvas, const std::vector<Thing>& things) : canvas_(canvas) {
        const auto column = [&](const std::function<double(const Thing&)>& value) {
            std::vector<double> values(things.size());
            std::transform(things.begin(), things.end(), values.begin(), value);
            return column_of(values, canvas.picture.device());
        };
        const auto size = column([](const Thing& t) { return t.size; });
        const auto dx = (canvas.x - column([](const Thing& t) { return t.x; })) / size;
        const auto dy = (canvas.y - column([](const Thing& t) { return t.y; })) / size;
        const auto c = column([](const Thing& t) { return std::cos(t.angle); });
        const auto s = column([](const Thing& t) { return std::sin(t.angle); });
        x = dx * c + dy * s;
        y = dy * c - dx * s;
        sharpness_ = size / canvas.px;
        light_ = column([](const Thing& t) { return t.light; });
        body = torch::cat({column([](const Thing& t) { return t.rgb[0]; }),
                           column([](const Thing& t) { return t.rgb[1]; }),
                           column([](const Thing& t) { return t.rgb[2]; })},
                          1);
        // Lit from the upper left as a ball is.
        round = (1.22 - ((x + 0.35).square() + (y + 0.35).square()) * 0.24).clamp_(0.5, 1.22);
    }

    Tensor x;  // [n, 1, h, w] in sizes, the thing's own upright frame
    Tensor y;
    Tensor body;   // [n, 3, 1, 1]
    Tensor round;  // [n, 1, h, w] light on a round body

    /// Colour times light, over the picture where `distance` is negative.
    void paint(const Tensor& distance, const Tensor& colour) {
        blend(distance, (colour * light_).clamp(0, 1), 1);
    }

    void paint(const Tensor& distance, const Rgb& rgb) {
        paint(distance, colour_of(rgb[0], rgb[1], rgb[2], x));
    }

    void blend(const Tensor& distance, const Tensor& colour, double opacity) {
        const auto alpha = (0.5 - distance * sharpness_).clamp_(0, 1).mul_(opacity);
        canvas_.picture = canvas_.picture + (colour - canvas_.picture) * alpha;
    }

    /// Darkens the ground in a soft ellipse around (0, `below`).
    void shade_ground(double below, double half_width, double strength) {
        const auto d = ((x / half_width).square() + ((y - below) / (0.28 * half_width)).square());
        canvas_.picture = canvas_.picture * (1 - (1 - d).clamp_(0, 1) * strength);
    }

  private:
    Canvas& canvas_;
    Tensor sharpness_;
    Tensor light_;
};

constexpr Rgb k_dark = {0.09, 0.09, 0.10};
constexpr Rgb k_wood = {0.36, 0.24, 0.14};

void paint_ball(Brush& b) {
    b.paint(circle(b.x, b.y, 1.0), b.body * b.round);
    b.blend(ellipse(b.x + 0.38, b.y + 0.42, 0.24, 0.17), torch::ones_like(b.body), 0.5);
}

void paint_box(Brush& b) {
    // Front, top and right side, each with its own light.
    b.paint(convex(b.x, b.y, {{-1, -0.45}, {-0.5, -0.95}, {1.15, -0.95}, {0.65, -0.45}}),
            b.body * 1.2 + 0.06);
    b.paint(convex(b.x, b.y, {{0.65, -0.45}, {1.15, -0.95}, {1.15, 0.5}, {0.65, 1.0}}),
            b.body * 0.58);
    b.paint(convex(b.x, b.y, {{-1, -0.45}, {0.65, -0.45}, {0.65, 1.0}, {-1, 1.0}}), b.body * 0.92);
}

void paint_star(Brush& b) {
    const auto [fx, fy] = folded(b.x, b.y, 5);
    // One half of a ray: the line from the tip (0, -1.2) to the notch at radius 0.5, 36 degrees on.
    const auto ax = fx.abs();
    const double notch_x = 0.5 * std::sin(M_PI / 5);
    const double notch_y = -0.5 * std::cos(M_PI / 5);
    const double length = std::hypot(notch_x, notch_y + 1.2);
    const auto edge = (ax * (notch_y + 1.2) - (fy + 1.2) * notch_x) / length;
    // Each ray has a light and a dark half.
    b.paint(edge, b.body * (1.0 - 0.14 * torch::sign(fx)));
}

void paint_heart(Brush& b) {
    // Two discs and the wedge between their tangents from the tip at (0, 1).
    const auto ax = b.x.abs();
    const auto lobes = circle(ax - 0.5, b.y + 0.35, 0.58);
    const auto body = convex(ax, b.y, {{-1, -0.35}, {0.5, -0.35}, {0.917, 0.054}, {0, 1}, {-1, 1}});
    b.paint(torch::minimum(lobes, body), b.body * b.round);
}

void paint_fish(Brush& b) {
    b.paint(convex(b.x, b.y, {{0.7, 0.0}, {1.6, -0.7}, {1.6, 0.7}}), b.body * 0.78);
    b.paint(convex(b.x, b.y, {{-0.25, -0.45}, {0.15, -0.95}, {0.55, -0.4}}), b.body * 0.78);
    b.paint(ellipse(b.x, b.y, 1.1, 0.62), b.body * b.round);
    b.paint(circle(b.x + 0.68, b.y + 0.14, 0.15), Rgb{0.97, 0.97, 0.97});
    b.paint(circle(b.x + 0.70, b.y + 0.14, 0.08), k_dark);
}

void paint_boat(Brush& b) {
    b.paint(rectangle(b.x, b.y + 0.35, 0.05, 0.75), k_wood);
    b.paint(convex(b.x, b.y, {{0.09, -1.1}, {0.95, 0.15}, {0.09, 0.15}}), b.body * 0.5 + 0.48);
    b.paint(convex(b.x, b.y, {{-0.09, -0.95}, {-0.09, 0.15}, {-0.7, 0.15}}), b.body * 0.6 + 0.3);
    b.paint(convex(b.x, b.y, {{-1.3, 0.32}, {1.3, 0.32}, {0.85, 0.95}, {-0.85, 0.95}}),
            b.body * (1.1 - 0.3 * b.y));
}

void paint_car(Brush& b) {
    b.paint(convex(b.x, b.y, {{-0.85, 0.0}, {-0.5, -0.58}, {0.45, -0.58}, {0.9, 0.0}}),
            b.body * 0.92);
    b.paint(convex(b.x, b.y, {{-0.68, -0.04}, {-0.42, -0.46}, {-0.06, -0.46}, {-0.06, -0.04}}),
            Rgb{0.66, 0.80, 0.88});
    b.paint(convex(b.x, b.y, {{0.04, -0.04}, {0.04, -0.46}, {0.40, -0.46}, {0.72, -0.04}}),
            Rgb{0.66, 0.80, 0.88});
    b.paint(rectangle(b.x, b.y - 0.28, 1.42, 0.22) - 0.1, b.body * (1.08 - 0.35 * b.y));
    const auto wheels = b.x.abs() - 0.82;
    b.paint(circle(wheels, b.y - 0.58, 0.33), k_dark);
    b.paint(circle(wheels, b.y - 0.58, 0.15), Rgb{0.72, 0.72, 0.74});
    b.paint(circle(b.x - 1.42, b.y - 0.18, 0.09), Rgb{1.0, 0.95, 0.7});
}

void paint_house(Brush& b) {
    b.paint(rectangle(b.x, b.y - 0.42, 0.9, 0.62), b.body * (1.04 - 0.12 * b.x));
    b.paint(convex(b.x, b.y, {{-1.15, -0.18}, {0.0, -1.15}, {1.15, -0.18}}), b.body * 0.45 + 0.05);
    b.paint(rectangle(b.x + 0.32, b.y - 0.66, 0.2, 0.38), k_wood);
    b.paint(rectangle(b.x - 0.42, b.y - 0.35, 0.24, 0.22), Rgb{0.97, 0.97, 0.95});
    b.paint(rectangle(b.x - 0.42, b.y - 0.35, 0.19, 0.17), Rgb{0.45, 0.62, 0.78});
}

void paint_tree(Brush& b) {
    b.paint(rectangle(b.x, b.y - 0.7, 0.13, 0.4), k_wood);
    for (const auto& [top, half] :
         {std::array<double, 2>{-0.25, 0.82}, {-0.72, 0.66}, {-1.2, 0.5}}) {
        b.paint(convex(b.x, b.y, {{0.0, top}, {half, top + 0.78}, {-half, top + 0.78}}),
                b.body * (0.95 - 0.28 * b.x + 0.15 * (top - b.y + 0.4)));
    }
}

void paint_flower(Brush& b) {
    b.paint(rectangle(b.x, b.y - 0.85, 0.07, 0.5), Rgb{0.24, 0.52, 0.22});
    b.paint(ellipse(b.x - 0.28, b.y - 0.95, 0.28, 0.11), Rgb{0.28, 0.58, 0.25});
    const auto [fx, fy] = folded(b.x, b.y + 0.25, 6);
    const auto lit = 0.82 + 0.3 * (b.x.square() + (b.y + 0.25).square());
    b.paint(ellipse(fx, fy + 0.55, 0.33, 0.42), b.body * lit.clamp_(0, 1.1));
    b.paint(circle(b.x, b.y + 0.25, 0.28), Rgb{0.96, 0.78, 0.22});
}

void paint_balloon(Brush& b) {
    b.paint(rectangle(b.x - 0.05 * (b.y * 7).sin(), b.y - 1.0, 0.025, 0.45), Rgb{0.5, 0.5, 0.5});
    b.paint(convex(b.x, b.y, {{0.0, 0.4}, {0.17, 0.68}, {-0.17, 0.68}}), b.body * 0.75);
    b.paint(ellipse(b.x, b.y + 0.4, 0.75, 0.92), b.body * b.round);
    b.blend(ellipse(b.x + 0.28, b.y + 0.75, 0.13, 0.22), torch::ones_like(b.body), 0.55);
}

void paint_mushroom(Brush& b) {
    b.paint(rectangle(b.x, b.y - 0.5, 0.26, 0.42) - 0.08, Rgb{0.93, 0.89, 0.80});
    const auto cap = torch::maximum(ellipse(b.x, b.y - 0.12, 1.1, 1.05), b.y - 0.12);
    b.paint(cap, b.body * b.round);
    for (const auto& [dx, dy, r] :
         {std::array<double, 3>{-0.5, -0.3, 0.16}, {0.1, -0.55, 0.19}, {0.6, -0.22, 0.14}}) {
        b.paint(circle(b.x - dx, b.y - dy, r), Rgb{0.98, 0.97, 0.93});
    }
}

void paint_cup(Brush& b) {
    const auto ring = circle(b.x - 0.72, b.y + 0.02, 0.42).abs() - 0.11;
    b.paint(ring, b.body * 0.8);
    const auto side = b.body * (1.1 - 0.45 * (b.x + 0.25).square() - 0.1 * b.x);
    b.paint(convex(b.x, b.y, {{-0.75, -0.7}, {0.75, -0.7}, {0.58, 0.85}, {-0.58, 0.85}}), side);
    b.paint(ellipse(b.x, b.y + 0.7, 0.75, 0.2), b.body * 0.85 + 0.12);
    b.paint(ellipse(b.x, b.y + 0.68, 0.62, 0.14), Rgb{0.30, 0.19, 0.12});
}

void paint_person(Brush& b, const std::vector<Thing>& things) {
    // Skin and trousers of each, the shirt has the body colour.
    std::array<std::vector<double>, 6> parts;
    for (const auto& thing : things) {
        Dice dice(thing.seed);
        const double tan = dice.uniform(0.3, 1.0);
        const double cloth = dice.uniform(0.08, 0.5);
        const Rgb skin = {0.35 + 0.55 * tan, 0.22 + 0.48 * tan, 0.16 + 0.42 * tan};
        for (size_t c = 0; c < 3; ++c) {
            parts[c].push_back(skin[c]);
            parts[3 + c].push_back(std::clamp(cloth + 0.06 * dice.normal(), 0.03, 0.8));
        }
    }
    const auto device = b.x.device();
    const auto joined = [&](size_t from) {
        return torch::cat({column_of(parts[from], device), column_of(parts[from + 1], device),
                           column_of(parts[from + 2], device)},
                          1);
    };
    const auto skin = joined(0);
    const auto cloth = joined(3);
    const auto lit = 1.0 - 0.25 * b.x;
    const auto ax = b.x.abs();
    b.paint(capsule(ax, b.y, {0.10, 0.25, 0.14, 0.98, 0.10}), cloth * lit);
    b.paint(capsule(ax, b.y, {0.24, -0.38, 0.34, 0.15, 0.075}), b.body * 0.85 * lit);
    b.paint(circle(ax - 0.35, b.y - 0.22, 0.075), skin * 0.95);
    b.paint(capsule(b.x, b.y, {0.0, -0.33, 0.0, 0.15, 0.21}), b.body * lit);
    b.paint(capsule(b.x, b.y, {0.0, -0.6, 0.0, -0.5, 0.07}), skin * 0.85);
    b.paint(ellipse(b.x, b.y + 0.80, 0.165, 0.2), cloth * 0.6);
    b.paint(ellipse(b.x, b.y + 0.76, 0.14, 0.17), skin * (1.02 - 0.8 * b.x));
}

void paint_building(Brush& b, const std::vector<Thing>& things) {
    std::vector<double> widths;
    std::vector<double> pitch;
    std::vector<double> glow;
    for (const auto& thing : things) {
        Dice dice(thing.seed);
        widths.push_back(dice.uniform(0.35, 0.75));
        pitch.push_back(dice.uniform(0.16, 0.3));
        glow.push_back(dice.chance(0.3) ? dice.uniform(0.6, 1.0) : dice.uniform(0.15, 0.45));
    }
    const auto device = b.x.device();
    const auto half = column_of(widths, device);
    const auto cell = column_of(pitch, device);
    const auto face = torch::maximum(b.x.abs() - half, b.y.abs() - 1.0);
    b.paint(face, b.body * (1.0 - 0.22 * b.x / half));
    // Windows in a regular grid, off the borders of the face.
    const auto u = (b.x / cell - (b.x / cell).round()).abs() * cell;
    const auto v = (b.y / cell - (b.y / cell).round()).abs() * cell;
    const auto pane = torch::maximum(torch::maximum(u - cell * 0.3, v - cell * 0.32), face + 0.09);
    b.paint(pane, colour_of(0.85, 0.92, 1.0, b.x) * column_of(glow, device));
}

void paint_bush(Brush& b) {
    b.paint(circle(b.x + 0.55, b.y - 0.25, 0.55), b.body * b.round * 0.85);
    b.paint(circle(b.x - 0.55, b.y - 0.25, 0.58), b.body * b.round * 0.8);
    b.paint(circle(b.x, b.y, 0.72), b.body * b.round);
}

void paint_parts(Brush& b, const std::vector<Thing>& things) {
    switch (things.front().kind) {
        case Kind::ball:
            return paint_ball(b);
        case Kind::box:
            return paint_box(b);
        case Kind::star:
            return paint_star(b);
        case Kind::heart:
            return paint_heart(b);
        case Kind::fish:
            return paint_fish(b);
        case Kind::boat:
            return paint_boat(b);
        case Kind::car:
            return paint_car(b);
        case Kind::house:
            return paint_house(b);
        case Kind::tree:
            return paint_tree(b);
        case Kind::flower:
            return paint_flower(b);
        case Kind::balloon:
            return paint_balloon(b);
        case Kind::mushroom:
            return paint_mushroom(b);
        case Kind::cup:
            return paint_cup(b);
        case Kind::person:
            return paint_person(b, things);
        case Kind::building:
            return paint_building(b, things);
        case Kind::bush:
            return paint_bush(b);
    }
}

}  // namespace

const std::vector<std::string>& kind_names() {
    static const std::vector<std::string> names = {
        "ball", "box",    "star",    "heart",    "fish", "boat",   "car",      "house",
        "tree", "flower", "balloon", "mushroom", "cup",  "person", "building", "bush"};
    return names;
}

const std::vector<NamedColour>& colours() {
    static const std::vector<NamedColour> table = {
        {"red", {0.84, 0.15, 0.12}},    {"green", {0.20, 0.62, 0.25}},
        {"blue", {0.15, 0.32, 0.84}},   {"yellow", {0.96, 0.83, 0.15}},
        {"orange", {0.96, 0.53, 0.10}}, {"purple", {0.52, 0.22, 0.70}},
        {"white", {0.95, 0.95, 0.95}},  {"black", {0.09, 0.09, 0.10}},
        {"pink", {0.97, 0.55, 0.71}},   {"brown", {0.47, 0.29, 0.15}}};
    return table;
}

Rgb jittered_colour(size_t colour, Dice& dice) {
    auto rgb = colours()[colour].rgb;
    const double light = dice.uniform(0.9, 1.1);
    for (auto& value : rgb) {
        value = std::clamp(value * light + 0.03 * dice.normal(), 0.02, 0.99);
    }
    return rgb;
}

Canvas Canvas::chosen(const torch::Tensor& rows) const {
    return {picture.index_select(0, rows), x.index_select(0, rows), y.index_select(0, rows),
            px.index_select(0, rows)};
}

void Canvas::paste(const torch::Tensor& rows, const Canvas& from) {
    picture.index_copy_(0, rows, from.picture);
}

torch::Tensor column_of(const std::vector<double>& values, const torch::Device& device) {
    return torch::tensor(values, torch::kFloat32).view({-1, 1, 1, 1}).to(device);
}

void paint_things(Canvas& canvas, const std::vector<Thing>& things, double shadow) {
    Brush brush(canvas, things);
    if (shadow > 0) {
        brush.shade_ground(1.0, 1.25, shadow);
    }
    paint_parts(brush, things);
}

}  // namespace weft
