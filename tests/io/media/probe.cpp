#include "tests/io/media/probe.h"

#include <c10/util/StringUtil.h>

#include <sstream>

#include "tests/io/media/clips.h"

namespace weft::test {

std::string quoted(const std::filesystem::path& path) {
    return c10::str("'", path.string(), "'");
}

Probe probe(const std::filesystem::path& path) {
    Probe result;
    auto last = result.end();
    for (const std::string& line : output_of(
             "ffprobe -v error -show_streams -show_chapters -show_format -show_packets -show_frames"
             " -show_data_hash md5 -of compact " +
             quoted(path))) {
        std::istringstream parts(line);
        std::string part;
        std::getline(parts, part, '|');
        if (!part.empty() && part != "side_data")  // ffprobe breaks the line around side data
            last = result.emplace(part, Fields());
        Fields& fields = last->second;
        while (std::getline(parts, part, '|')) {
            const size_t equals = part.find('=');
            if (equals != std::string::npos)
                fields[part.substr(0, equals)] = part.substr(equals + 1);
        }
    }
    return result;
}

std::vector<Fields> sections(const Probe& probe, const std::string& kind) {
    std::vector<Fields> list;
    const auto [begin, end] = probe.equal_range(kind);
    for (auto entry = begin; entry != end; ++entry) list.push_back(entry->second);
    return list;
}

std::string value(const Fields& fields, const std::string& key) {
    const auto found = fields.find(key);
    return found == fields.end() ? "" : found->second;
}

Fields picture_of(const Probe& probe) {
    for (const Fields& stream : sections(probe, "stream")) {
        if (value(stream, "codec_type") == "video" &&
            value(stream, "disposition:attached_pic") == "0")
            return stream;
    }
    return {};
}

std::vector<double> times_of(const Probe& probe) {
    const std::string index = value(picture_of(probe), "index");
    std::vector<double> times;
    for (const Fields& frame : sections(probe, "frame")) {
        if (value(frame, "stream_index") == index)
            times.push_back(std::stod(value(frame, "best_effort_timestamp_time")));
    }
    return times;
}

}  // namespace weft::test
