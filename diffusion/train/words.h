#pragma once

#include <string>
#include <vector>

#include "diffusion/train/dice.h"
#include "diffusion/train/styles.h"

namespace weft {

/// How an instruction may be put around a style's words: "{}", "make it {}", "in the style of {}",
/// ...
const std::vector<std::string>& style_templates();

/// `pattern` with "{}" replaced.
std::string filled(const std::string& pattern, const std::string& words);

/// An entry of the table of styles, by weight.
const StyleEntry& random_style(Dice& dice);

/// The name of `entry` (60 %) or one of its aliases.
const std::string& random_name(const StyleEntry& entry, Dice& dice);

/// An instruction for `entry`: bare words in half of the cases, otherwise a template.
std::string style_instruction(const StyleEntry& entry, Dice& dice);

}  // namespace weft
