#include "cli/models.h"

#include "diffusion/model.h"
#include "io/files/error.h"

namespace weft {
namespace {

constexpr size_t help_width = 96;

/// "a, b, c" broken into lines.
std::string wrapped(const std::vector<std::string>& words) {
    std::string text;
    size_t column = 0;
    for (size_t i = 0; i < words.size(); ++i) {
        const auto piece = words[i] + (i + 1 < words.size() ? ", " : "");
        if (column + piece.size() > help_width) {
            text += "\n  ";
            column = 0;
        }
        text += piece;
        column += piece.size();
    }
    return text;
}

std::string starter_words(const Context& context) {
    try {
        const auto words = DiffusionModel::read_traits(locate_model("", context)).words;
        return words.empty() ? std::string()
                             : "The starter model knows these words, others do little:\n  " +
                                   wrapped(words) + "\n";
    } catch (const Error&) {
        return "The starter model is not installed here; 'weft doctor' says where it is looked "
               "for.\n";
    }
}

}  // namespace

std::vector<std::filesystem::path> model_shelves(const Context& context) {
    return model_shelves(context.program, WEFT_MODELS_DIR);
}

std::filesystem::path locate_model(const std::string& name, const Context& context) {
    return find_model(name.empty() ? "starter" : name, model_shelves(context));
}

std::string model_help(const Context& context) {
    return starter_words(context) +
           "Stable Diffusion 1, 2 and XL, inpainting and InstructPix2Pix weights: --model FOLDER "
           "in the\ndiffusers layout, or FILE.safetensors, a single-file checkpoint.";
}

}  // namespace weft
