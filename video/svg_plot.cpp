#include "video/svg_plot.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace weft {
namespace {

constexpr double width = 880;
constexpr double height = 240;
constexpr double left = 64;
constexpr double right = 12;
constexpr double top = 30;
constexpr double bottom = 40;

/// Up to four digits, as short as they can be.
std::string number(double value) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.4g", value);
    return text.data();
}

/// The step among 1, 2, 5 times a power of ten that gives about `count` ticks.
double round_step(double range, double count) {
    const double rough = range / count;
    const double power = std::pow(10, std::floor(std::log10(rough)));
    for (const double factor : {1.0, 2.0, 5.0}) {
        if (factor * power >= rough) {
            return factor * power;
        }
    }
    return 10 * power;
}

/// Places of values in the element.
struct Axes {
    double x_low = 0;
    double x_high = 1;
    double y_high = 1;

    explicit Axes(const Plot& plot) {
        bool first = true;
        double largest = 0;
        for (const PlotLine& line : plot.lines) {
            for (size_t i = 0; i < line.x.size(); ++i) {
                x_low = first ? line.x[i] : std::min(x_low, line.x[i]);
                x_high = first ? line.x[i] : std::max(x_high, line.x[i]);
                largest = std::isfinite(line.y[i]) ? std::max(largest, line.y[i]) : largest;
                first = false;
            }
        }
        x_high = x_high > x_low ? x_high : x_low + 1;
        y_high = largest > 0 ? largest * 1.05 : 1;
    }

    double x(double value) const {
        return left + (value - x_low) / (x_high - x_low) * (width - left - right);
    }

    double y(double value) const {
        return height - bottom - value / y_high * (height - top - bottom);
    }
};

std::string text_at(double x, double y, const std::string& anchor, const std::string& text) {
    return c10::str("<text x=\"", number(x), "\" y=\"", number(y), "\" text-anchor=\"", anchor,
                    "\">", escaped(text), "</text>");
}

std::string line_between(double x0, double y0, double x1, double y1, const std::string& kind) {
    return c10::str("<line class=\"", kind, "\" x1=\"", number(x0), "\" y1=\"", number(y0),
                    "\" x2=\"", number(x1), "\" y2=\"", number(y1), "\"/>");
}

std::string grid(const Axes& axes) {
    std::string svg;
    const double y_step = round_step(axes.y_high, 4);
    for (int64_t i = 0; static_cast<double>(i) * y_step <= axes.y_high; ++i) {
        const double value = static_cast<double>(i) * y_step;
        svg += line_between(left, axes.y(value), width - right, axes.y(value), "grid");
        svg += text_at(left - 6, axes.y(value) + 4, "end", number(value));
    }
    const double x_step = round_step(axes.x_high - axes.x_low, 10);
    for (auto i = static_cast<int64_t>(std::ceil(axes.x_low / x_step));
         static_cast<double>(i) * x_step <= axes.x_high; ++i) {
        const double value = static_cast<double>(i) * x_step;
        svg += text_at(axes.x(value), height - bottom + 16, "middle", number(value));
    }
    return svg;
}

/// One path; a gap starts a new stroke.
std::string path_of(const PlotLine& line, const Axes& axes, size_t place) {
    std::string points;
    bool drawing = false;
    for (size_t i = 0; i < line.x.size(); ++i) {
        if (!std::isfinite(line.y[i])) {
            drawing = false;
            continue;
        }
        points += c10::str(drawing ? "L" : "M", number(axes.x(line.x[i])), " ",
                           number(axes.y(line.y[i])));
        drawing = true;
    }
    return c10::str("<path style=\"stroke:var(--line-", place, ")\" d=\"", points, "\"><title>",
                    escaped(line.name), "</title></path>");
}

std::string legend(const Plot& plot) {
    std::string svg;
    double x = width - right;
    for (size_t i = plot.lines.size(); i-- > 0;) {
        const auto& name = plot.lines[i].name;
        svg +=
            c10::str("<g style=\"fill:var(--line-", i, ")\">", text_at(x, 16, "end", name), "</g>");
        x -= 7.5 * static_cast<double>(name.size()) + 18;
    }
    return svg;
}

}  // namespace

std::string escaped(const std::string& text) {
    std::string result;
    for (const char letter : text) {
        switch (letter) {
            case '&':
                result += "&amp;";
                break;
            case '<':
                result += "&lt;";
                break;
            case '>':
                result += "&gt;";
                break;
            case '"':
                result += "&quot;";
                break;
            default:
                result += letter;
        }
    }
    return result;
}

std::string svg_of(const Plot& plot) {
    const Axes axes(plot);
    std::string svg = c10::str(R"(<svg viewBox="0 0 )", width, " ", height, R"(" role="img">)");
    svg += R"(<g class="title">)" + text_at(left, 16, "start", plot.title) + "</g>";
    svg += legend(plot) + grid(axes);
    for (const double mark : plot.marks) {
        svg += line_between(axes.x(mark), top, axes.x(mark), height - bottom, "mark");
    }
    for (size_t i = 0; i < plot.lines.size(); ++i) {
        svg += path_of(plot.lines[i], axes, i);
    }
    svg += text_at((left + width - right) / 2, height - 6, "middle", plot.x_label);
    svg += c10::str("<g transform=\"rotate(-90 12 ", (height - bottom + top) / 2, ")\">",
                    text_at(12, (height - bottom + top) / 2, "middle", plot.y_label), "</g>");
    return svg + "</svg>";
}

}  // namespace weft
