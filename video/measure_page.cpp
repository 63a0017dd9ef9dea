#include "video/measure_page.h"

#include <c10/util/StringUtil.h>

#include <array>
#include <cmath>
#include <cstdio>

#include "io/files/whole_file.h"
#include "video/measure_summary.h"
#include "video/svg_plot.h"

namespace weft {
namespace {

constexpr const char* style = R"(<style>
:root{color-scheme:light dark;--ink:#1c2024;--soft:#667;--back:#fff;--rule:#ddd;
--line-0:#888;--line-1:#0a6cc4;--line-2:#d1480f;--line-3:#2a8a3e;--line-4:#8a3fb0;--line-5:#b08400}
@media(prefers-color-scheme:dark){:root{--ink:#e6e6e6;--soft:#99a;--back:#16181b;--rule:#333;
--line-1:#58a6ff;--line-2:#ff8a50;--line-3:#5fce76;--line-4:#c792ea;--line-5:#e5c04b}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);max-width:1180px;
margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}p,figcaption{color:var(--soft)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .6rem;border-bottom:1px solid var(--rule);text-align:right}
th:first-child,td:first-child{text-align:left}
svg{width:100%;height:auto;display:block;margin:1rem 0}
svg text{font:12px system-ui,sans-serif;fill:var(--soft)}svg .title text{font-weight:600;fill:var(--ink)}
svg g[style] text{fill:inherit;font-weight:600}
svg path{fill:none;stroke-width:1.6}svg .grid{stroke:var(--rule)}
svg .mark{stroke:var(--soft);stroke-dasharray:3 3}
.row{display:grid;grid-template-columns:repeat(4,1fr);gap:6px;margin:.4rem 0 0}
.row img{width:100%;display:block;border-radius:3px}
figure{margin:1.2rem 0}.no{color:#c8102e;font-weight:600}
</style>)";

/// Stands in a cell where there is no figure.
constexpr const char* nothing = "&ndash;";

std::string number(double value) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.3g", value);
    return text.data();
}

std::string optional_number(const std::optional<double>& value) {
    return value ? number(*value) : nothing;
}

/// A mean square error in [0, 1] as people read it: its root on the scale of 8 bits.
double levels(double mean_square) {
    return 255 * std::sqrt(mean_square);
}

/// One row of the table: what is shown, in words, and how to read it from a clip.
struct Figure {
    const char* name;
    const char* explanation;
    std::string (*cell)(const ClipFigures& clip);
};

std::string clip_cell(const ClipFigures& clip, double ClipScores::*score) {
    return clip.summary.clip ? number((*clip.summary.clip).*score) : nothing;
}

constexpr std::array figures{
    Figure{"warp error", "root mean square along the source's flow, 0 to 255",
           [](const ClipFigures& c) { return number(levels(c.summary.warp_error)); }},
    Figure{"times the source's own", "ratio of the mean squares",
           [](const ClipFigures& c) { return optional_number(c.summary.warp_ratio); }},
    Figure{"valid pixels", "share of pixels where the flow holds",
           [](const ClipFigures& c) { return number(c.summary.valid_share); }},
    Figure{"drift", "as warp error, against a frame some frames before",
           [](const ClipFigures& c) { return number(levels(c.summary.drift_error)); }},
    Figure{"drift, times the source's own", "ratio of the mean squares",
           [](const ClipFigures& c) { return optional_number(c.summary.drift_ratio); }},
    Figure{"flicker", "mean difference of neighbours without warping, 0 to 255",
           [](const ClipFigures& c) { return number(255 * c.summary.flicker); }},
    Figure{"brightness flicker", "mean second difference of the mean luma, 0 to 255",
           [](const ClipFigures& c) { return number(255 * c.summary.luma_flicker); }},
    Figure{"motion error", "mean end point error of the edit's flow, px",
           [](const ClipFigures& c) { return number(c.summary.end_point_error); }},
    Figure{"edit strength", "mean difference from the source, 0 to 255",
           [](const ClipFigures& c) { return number(255 * c.summary.strength); }},
    Figure{"outside the mask", "mean of the largest channel's difference, 0 to 255",
           [](const ClipFigures& c) {
               return c.summary.outside ? number(255 * *c.summary.outside) : nothing;
           }},
    Figure{"CLIP-T", "cosine of frame and prompt, with a CLIP model",
           [](const ClipFigures& c) { return clip_cell(c, &ClipScores::text); }},
    Figure{"CLIP-F, all pairs", "cosine of different frames",
           [](const ClipFigures& c) { return clip_cell(c, &ClipScores::all_pairs); }},
    Figure{"CLIP-F, neighbours", "cosine of neighbours; high for blur and stills, too",
           [](const ClipFigures& c) { return clip_cell(c, &ClipScores::neighbours); }},
};

std::string header_of(const Measurement& measurement) {
    std::string row = "<tr><th></th>";
    for (const ClipFigures& clip : measurement.clips) {
        row += "<th>" + escaped(clip.name) + "</th>";
    }
    return row + "</tr>";
}

std::string figures_table(const Measurement& measurement) {
    std::string table = "<table>" + header_of(measurement);
    std::string explanations = "<p>";
    for (const Figure& figure : figures) {
        std::string cells;
        bool measured = false;
        for (const ClipFigures& clip : measurement.clips) {
            const auto cell = figure.cell(clip);
            measured = measured || cell != nothing;
            cells += "<td>" + cell + "</td>";
        }
        if (measured) {
            table += c10::str("<tr><td>", figure.name, "</td>", cells, "</tr>");
            explanations += c10::str("<b>", figure.name, "</b>: ", figure.explanation, ". ");
        }
    }
    return table + "</table>" + explanations + "</p>";
}

std::string yes_or_no(bool value) {
    return value ? "yes" : "<span class=\"no\">no</span>";
}

std::string integrity_table(const Measurement& measurement) {
    std::string table =
        "<table><tr><th></th><th>frames</th><th>as many as the source</th><th>same size</th>"
        "<th>same colour tags</th><th>same other streams</th><th>largest time shift</th></tr>";
    for (const ClipFigures& clip : measurement.clips) {
        const Integrity& whole = clip.integrity;
        table += c10::str("<tr><td>", escaped(clip.name), "</td><td>", whole.frames, "</td><td>",
                          yes_or_no(whole.same_frames), "</td><td>", yes_or_no(whole.same_size),
                          "</td><td>", yes_or_no(whole.same_color), "</td><td>",
                          yes_or_no(whole.same_side_streams), "</td><td>",
                          number(whole.largest_shift_s), " s</td></tr>");
    }
    return table + "</table>";
}

/// A figure of each frame over time. What compares with the frame before has a gap at cuts.
struct TimePlot {
    const char* title;
    const char* unit;
    bool of_pairs;
    bool with_identity;
    double (*value)(const FrameFigures& frame);
};

constexpr std::array time_plots{
    TimePlot{"Warp error", "0 to 255", true, true,
             [](const FrameFigures& f) { return levels(f.warp_error); }},
    TimePlot{"Flicker", "0 to 255", true, true,
             [](const FrameFigures& f) { return 255 * f.flicker; }},
    TimePlot{"Motion error", "px", true, false,
             [](const FrameFigures& f) { return f.end_point_error; }},
    TimePlot{"Mean luma", "0 to 255", false, true,
             [](const FrameFigures& f) { return 255 * f.luma; }},
    TimePlot{"Edit strength", "0 to 255", false, false,
             [](const FrameFigures& f) { return 255 * f.strength; }},
};

PlotLine line_of(const Measurement& measurement, const ClipFigures& clip, const TimePlot& plot) {
    PlotLine line{clip.name, {}, {}};
    for (size_t i = 0; i < clip.frames.size(); ++i) {
        const auto place = static_cast<int64_t>(i);
        const bool has = !plot.of_pairs || (i > 0 && within_shot(measurement, place - 1, place));
        line.x.push_back(clip.frames[i].time_s);
        line.y.push_back(has ? plot.value(clip.frames[i]) : std::nan(""));
    }
    return line;
}

std::string plots(const Measurement& measurement) {
    std::vector<double> cuts;
    for (const int64_t place : measurement.cuts) {
        cuts.push_back(measurement.clips.front().frames.at(place).time_s);
    }
    std::string svgs;
    for (const TimePlot& wanted : time_plots) {
        Plot plot{wanted.title, "seconds", wanted.unit, {}, cuts};
        for (size_t i = 0; i < measurement.clips.size(); ++i) {
            plot.lines.push_back(i > 0 || wanted.with_identity
                                     ? line_of(measurement, measurement.clips[i], wanted)
                                     : PlotLine{});
        }
        svgs += svg_of(plot);
    }
    return svgs;
}

std::string image(const std::string& address, const char* what) {
    return c10::str("<img src=\"", address, "\" alt=\"", what, "\" title=\"", what, "\">");
}

std::string figure_of(const Exhibit& exhibit) {
    const FrameFigures& frame = exhibit.figures;
    return c10::str("<figure><div class=\"row\">", image(exhibit.source, "source"),
                    image(exhibit.edited, "edited"), image(exhibit.flow, "flow"),
                    image(exhibit.error, "warp error"), "</div><figcaption>frame ", frame.frame,
                    ", ", number(frame.time_s), " s: warp error ", number(levels(frame.warp_error)),
                    ", edit strength ", number(255 * frame.strength), ", valid pixels ",
                    number(frame.valid_share), ", full colour of the flow ",
                    number(exhibit.longest_px), " px</figcaption></figure>");
}

std::string exhibition(const Measurement& measurement, const Gallery& gallery) {
    std::string html;
    for (size_t i = 1; i < measurement.clips.size(); ++i) {
        const auto name = escaped(measurement.clips[i].name);
        html += "<h2>" + name +
                ": worst frames first</h2><p>Source, edit, the source's flow to the " +
                "frame before (hue: direction; white: still), warp error of the edit (black 0, " +
                "white 64 of 255; blue: not measured).</p>";
        for (const Exhibit& exhibit : gallery.worst(i)) {
            html += figure_of(exhibit);
        }
        html += "<h2>" + name + ": over the clip</h2>";
        for (const Exhibit& exhibit : gallery.spread(i)) {
            html += figure_of(exhibit);
        }
    }
    return html;
}

}  // namespace

std::string measure_page(const Measurement& measurement, const Gallery& gallery,
                         const std::string& title) {
    return c10::str(R"(<!doctype html><html lang="en"><head><meta charset="utf-8"><title>)",
                    escaped(title), "</title>", style, "</head><body><h1>", escaped(title),
                    "</h1><p>Measured at ", measurement.width, "x", measurement.height,
                    "; <b>identity</b> is the source as its own edit, the yardstick.</p>",
                    figures_table(measurement), "<h2>Same clip on the outside?</h2>",
                    integrity_table(measurement), "<h2>Over time</h2>", plots(measurement),
                    exhibition(measurement, gallery), "</body></html>\n");
}

void write_measure_page(const std::filesystem::path& path, const Measurement& measurement,
                        const Gallery& gallery) {
    std::string title = "weft measure:";
    for (size_t i = 1; i < measurement.clips.size(); ++i) {
        title += (i > 1 ? ", " : " ") + measurement.clips[i].name;
    }
    WholeFile file(path);
    file.write(measure_page(measurement, gallery, title));
    file.commit();
}

}  // namespace weft
