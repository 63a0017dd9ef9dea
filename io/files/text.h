#pragma once

#include <string>
#include <string_view>

namespace weft {

/// `name` in single quotes, fit for one line of a terminal: control characters are escaped and what
/// is longer than 160 bytes is cut (at a character of UTF-8). For names that come out of files.
/// Thread-safe: yes.
std::string quoted_name(std::string_view name);

/// `text` with control characters escaped ("\n" stays a newline where `keep_lines`).
std::string printable(std::string_view text, bool keep_lines);

}  // namespace weft
