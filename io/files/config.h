#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace weft {

/// Closed range a number from a file must lie in; outside it the read is an Error.
struct Range {
    double low = 0;
    double high = 1e9;
};

/// One JSON object of a file, read with limits (nesting <= 64, no duplicate keys, valid UTF-8) and
/// checked key by key. Every error names the file and the key. Thread-safe: yes (immutable).
class Config {
  public:
    /// An empty object; every lookup takes its default.
    Config();
    /// Reads a JSON file of at most `max_bytes`.
    static Config read(const std::filesystem::path& path, int64_t max_bytes = 64 << 20);
    /// Parses `text`; `where` names it in errors.
    static Config parse(const std::string& text, const std::string& where);

    /// True where the key exists and is not null.
    bool has(const std::string& key) const;
    /// Numbers, texts and lists. Without a default a missing key is an Error.
    int64_t integer(const std::string& key, Range range,
                    std::optional<int64_t> otherwise = {}) const;
    double number(const std::string& key, Range range, std::optional<double> otherwise = {}) const;
    bool flag(const std::string& key, std::optional<bool> otherwise = {}) const;
    std::string text(const std::string& key,
                     const std::optional<std::string>& otherwise = {}) const;
    /// A list of integers; a single integer counts as a list of `repeat` copies of it.
    std::vector<int64_t> integers(const std::string& key, Range range, int64_t repeat = 1) const;
    std::vector<double> numbers(const std::string& key, Range range) const;
    std::vector<std::string> texts(const std::string& key) const;
    /// A nested object; an empty one where the key is missing.
    Config object(const std::string& key) const;
    /// All keys of the object, in file order.
    std::vector<std::string> keys() const;
    /// True where the value is a list / an object / a text.
    bool is_list(const std::string& key) const;
    bool is_text(const std::string& key) const;
    /// The name used in errors.
    const std::string& where() const;

  private:
    struct Node;
    std::shared_ptr<const Node> node_;
};

}  // namespace weft
