#include "diffusion/guidance_interval.h"

#include <c10/util/StringUtil.h>

#include <charconv>
#include <string_view>

#include "io/files/error.h"
#include "io/files/text.h"

namespace weft {

namespace {

// True where `text` is empty, which leaves `value`, or a number from 0 on.
bool read_end(std::string_view text, double& value) {
    if (text.empty())
        return true;
    const char* end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, value);
    return result.ec == std::errc() && result.ptr == end && value >= 0;
}

}  // namespace

GuidanceInterval parse_guidance_interval(const std::string& text) {
    GuidanceInterval interval;
    const size_t dots = text.find("..");
    const std::string_view whole = text;
    const bool fits = dots != std::string::npos && read_end(whole.substr(0, dots), interval.low) &&
                      read_end(whole.substr(dots + 2), interval.high) &&
                      interval.low <= interval.high;
    if (!fits)
        throw UsageError("", c10::str(quoted_name(text), " is no interval of noise levels"),
                         "write LO..HI in sigma / alpha, from 0 on, as in 0.3..5.4");
    return interval;
}

}  // namespace weft
