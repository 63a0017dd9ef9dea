#include "diffusion/train/model_card.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <vector>

#include "diffusion/train/styles.h"

namespace weft {
namespace {

struct LossPoint {
    double step = 0, loss = 0, minutes = 0;
};

std::vector<LossPoint> read_losses(const std::filesystem::path& path) {
    std::vector<LossPoint> points;
    std::ifstream in(path);
    for (std::string line; std::getline(in, line);) {
        std::istringstream fields(line);
        LossPoint point;
        double rate = 0;
        if (fields >> point.step >> point.loss >> rate >> point.minutes) {
            // A resumed run repeats the steps since its last checkpoint: the later ones count.
            while (!points.empty() && points.back().step >= point.step) {
                points.pop_back();
            }
            points.push_back(point);
        }
    }
    return points;
}

/// One line of the table of stages.
std::string stage_line(const std::string& name, const std::filesystem::path& losses) {
    const std::vector<LossPoint> points = read_losses(losses);
    if (points.empty()) {
        return "";
    }
    const LossPoint& last = points.back();
    std::ostringstream line;
    line.precision(3);
    line << "| " << name << " | " << static_cast<int64_t>(last.step) << " | " << last.minutes
         << " | " << points.front().loss << " | " << last.loss << " |\n";
    return line.str();
}

std::string style_list() {
    std::string list;
    for (const StyleEntry& style : styles()) {
        list += (list.empty() ? "" : ", ") + style.name;
    }
    return list;
}

std::string bucket_list(const Recipe& recipe) {
    std::string list;
    for (const Bucket& bucket : recipe.unet.buckets) {
        list += c10::str(list.empty() ? "" : ", ", bucket.width, "x", bucket.height,
                         bucket.crop > 0 ? c10::str(" cut to ", bucket.crop, "x", bucket.crop) : "",
                         " in batches of ", bucket.batch);
    }
    return list;
}

const char* device_words(const TrainOptions& options) {
    return options.placement.device.is_cuda() ? "a GPU" : "a CPU";
}

std::string card_text(const Recipe& recipe, const std::filesystem::path& folder,
                      const TrainOptions& options) {
    const std::filesystem::path training = folder / "training";
    const std::string& suffix = options.picture_suffix;
    return c10::str(
        "# ", recipe.name, "\n\n",
        "A small latent diffusion model for edits told in words, trained from nothing by `weft "
        "train`.\n"
        "Diffusers layout: UNet, text encoder, tokenizer and scheduler load in diffusers and "
        "transformers;\n"
        "the autoencoder (`PatchAutoencoder`) is weft's own.\n\n"
        "![edits](edits",
        suffix, ")\n\nSource, empty text, then one column a style.\n\n![from text](generation",
        suffix,
        ")\n\nFrom text alone, 128x128.\n\n"
        "## What it was trained on\n\n"
        "Only pictures drawn by weft's own programs (`diffusion/train`): skies, hills, streets, "
        "rooms,\n"
        "figures, simple things in ten colours, overlapping shapes and textures. Edits are "
        "classical\n"
        "filters of those pictures and scenes drawn twice. No photograph, no data set, no other "
        "model.\n"
        "Pictures: ",
        bucket_list(recipe), ". Trained on ", device_words(options), ", seed ", recipe.seed,
        ".\n\n| stage | steps | minutes | first loss | last loss |\n|---|---|---|---|---|\n",
        stage_line("autoencoder", training / "autoencoder_loss.tsv"),
        stage_line("unet and text encoder", training / "unet_loss.tsv"), "\n![loss](loss.png)\n\n",
        "## What it can do\n\nEdits: ", style_list(),
        "; a colour of a thing, the sky, the ground of a scene.\n"
        "From text: as far as the second sheet shows. Recommended: ",
        recipe.steps, " steps, guidance ", recipe.guidance, ", DDIM.\n\n",
        "## What it cannot do\n\nIt knows no word outside its captions, no faces, animals, brands "
        "or "
        "places, and\nno style it was not shown; an unknown word does little. Fine detail is what "
        "16 "
        "latent\nchannels at 1/8 of the size can hold.\n\n",
        "## Make it again\n\n    weft train samples/recipes/starter.toml -o DIR\n");
}

/// A straight line of pixels from column to column.
void plot(torch::Tensor& picture, const std::vector<double>& heights) {
    const int64_t h = picture.size(1), w = picture.size(2);
    auto pixels = picture.accessor<float, 3>();
    int64_t before = -1;
    for (int64_t x = 0; x < w; ++x) {
        const size_t i = static_cast<size_t>(x) * heights.size() / static_cast<size_t>(w);
        const auto y = std::clamp<int64_t>(
            std::llround((1 - heights[i]) * static_cast<double>(h - 1)), 0, h - 1);
        const int64_t from = before < 0 ? y : std::min(before, y),
                      to = before < 0 ? y : std::max(before, y);
        for (int64_t row = from; row <= to; ++row) {
            pixels[0][row][x] = 0.1F;
            pixels[1][row][x] = 0.3F;
            pixels[2][row][x] = 0.7F;
        }
        before = y;
    }
}

}  // namespace

torch::Tensor loss_chart(const std::filesystem::path& losses) {
    torch::Tensor picture = torch::ones({3, 200, 640});
    std::vector<double> heights;
    for (const LossPoint& point : read_losses(losses)) {
        heights.push_back(point.loss);
    }
    if (heights.empty()) {
        return picture;
    }
    const auto [low, high] = std::minmax_element(heights.begin(), heights.end());
    const double floor = *low, span = std::max(1e-9, *high - *low);
    for (double& height : heights) {
        height = (height - floor) / span;
    }
    plot(picture, heights);
    return picture;
}

void write_model_card(const Recipe& recipe, const std::filesystem::path& folder,
                      const TrainOptions& options) {
    const std::filesystem::path sheets = folder / "training" / "sheets";
    for (const char* sheet : {"edits", "generation"}) {
        std::filesystem::copy_file(sheets / c10::str("unet_final_", sheet, options.picture_suffix),
                                   folder / (sheet + options.picture_suffix),
                                   std::filesystem::copy_options::overwrite_existing);
    }
    save_png(folder / "loss.png", loss_chart(folder / "training" / "unet_loss.tsv"));
    std::ofstream(folder / "README.md") << card_text(recipe, folder, options);
}

}  // namespace weft
