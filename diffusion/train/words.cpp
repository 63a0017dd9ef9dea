#include "diffusion/train/words.h"

namespace weft {

const std::vector<std::string>& style_templates() {
    static const std::vector<std::string> templates = {"{}",
                                                       "make it {}",
                                                       "make it look like {}",
                                                       "as a {}",
                                                       "turn it into {}",
                                                       "turn it into a {}",
                                                       "make it a {}",
                                                       "{} style",
                                                       "in the style of {}",
                                                       "in {} style",
                                                       "{} look",
                                                       "change it to {}",
                                                       "a {} picture",
                                                       "a {} of the scene",
                                                       "convert to {}",
                                                       "draw it as {}",
                                                       "{}, highly detailed"};
    return templates;
}

std::string filled(const std::string& pattern, const std::string& words) {
    auto text = pattern;
    return text.replace(text.find("{}"), 2, words);
}

const StyleEntry& random_style(Dice& dice) {
    double total = 0;
    for (const auto& entry : styles()) {
        total += entry.weight;
    }
    double left = dice.uniform(0, total);
    for (const auto& entry : styles()) {
        left -= entry.weight;
        if (left < 0) {
            return entry;
        }
    }
    return styles().back();
}

const std::string& random_name(const StyleEntry& entry, Dice& dice) {
    return entry.aliases.empty() || dice.chance(0.6) ? entry.name : dice.pick(entry.aliases);
}

std::string style_instruction(const StyleEntry& entry, Dice& dice) {
    const auto& name = random_name(entry, dice);
    return dice.chance(0.5) ? name : filled(dice.pick(style_templates()), name);
}

}  // namespace weft
