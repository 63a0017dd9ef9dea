#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

namespace weft {

/// A look by name: what the words of a style do to a picture.
struct StyleEntry {
    std::string name;                  // "watercolor painting"
    std::vector<std::string> aliases;  // "watercolour", "aquarelle", ...
    double weight;                     // how often it is drawn, relative to the others
    /// [n, 3, h, w] in 0..1 -> the same shape and range. Deterministic and local (neighbourhoods of
    /// some 20 px at most), every picture of the batch by itself.
    torch::Tensor (*apply)(const torch::Tensor& picture);
};

/// The one table of styles. Thread-safe: yes.
const std::vector<StyleEntry>& styles();

/// The entry named `name` (or one of its aliases); a bug where there is none.
const StyleEntry& style(const std::string& name);

}  // namespace weft
