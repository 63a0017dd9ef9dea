#pragma once

#include <string>
#include <vector>

namespace weft {

/// One line of a plot.
struct PlotLine {
    std::string name;
    std::vector<double> x;
    std::vector<double> y;  // as many; what is not finite leaves a gap
};

/// A line plot as one <svg> element, with axes, round ticks and a legend. Colours come from the CSS
/// variables --line-0, --line-1 ... of the page, in the order of the lines.
struct Plot {
    std::string title;
    std::string x_label;
    std::string y_label;
    std::vector<PlotLine> lines;
    std::vector<double> marks;  // x of vertical lines (cuts)
};

/// The element's text. Values below 0 are not expected: the y axis starts at 0.
std::string svg_of(const Plot& plot);

/// Text for use between tags and in attributes: & < > " are escaped.
std::string escaped(const std::string& text);

}  // namespace weft
