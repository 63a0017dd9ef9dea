#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace weft {

/// Some of a UNet's sites, by the full weight names that a Coupling is given. Written as words
/// joined by '+': "all", "none", "down", "mid", "up", or the beginning of a name, such as
/// "up_blocks.2" or "up_blocks.1.attentions.0". Thread-safe: yes (immutable).
class SiteChoice {
  public:
    /// Chooses no site.
    SiteChoice() = default;
    /// UsageError for any other word.
    explicit SiteChoice(const std::string& words);

    bool has(std::string_view site) const;

    bool empty() const { return beginnings_.empty(); }

  private:
    std::vector<std::string> beginnings_;  // each ends in '.'
};

}  // namespace weft
