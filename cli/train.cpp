#include "diffusion/train/train.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "diffusion/device.h"
#include "diffusion/train/recipe.h"
#include "io/files/error.h"
#ifdef WEFT_WITH_VIDEO
#include "io/media/picture.h"
#endif

namespace weft {
namespace {

struct TrainCommand {
    std::filesystem::path recipe, folder, init;
    std::vector<std::string> previews;
    std::string device = "auto", dtype = "auto";
    int64_t threads = 0;
    double minutes = 0;
};

std::string clock_text(double seconds) {
    const auto whole = static_cast<int64_t>(seconds);
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60,
                  whole % 60);
    return text.data();
}

/// One redrawn line on a terminal, a plain line a minute otherwise.
class TrainProgress {
  public:
    void operator()(const TrainReport& report) {
        const bool terminal = isatty(STDERR_FILENO) != 0;
        if (!terminal && ++calls_ % 15 != 1) {
            return;
        }
        std::fprintf(stderr, "%s%s: step %ld/%ld  loss %.4f  rate %.1e  %.2f s/step  %s left%s",
                     terminal ? "\r\033[K" : "", report.stage.c_str(), report.step, report.steps,
                     report.loss, report.learning_rate, report.seconds_per_step,
                     clock_text(report.seconds_left).c_str(), terminal ? "" : "\n");
    }

  private:
    int64_t calls_ = 0;
};

std::vector<torch::Tensor> read_previews(const std::vector<std::string>& paths) {
    std::vector<torch::Tensor> previews;
    previews.reserve(paths.size());
#ifdef WEFT_WITH_VIDEO
    for (const std::string& path : paths) {
        previews.push_back(read_picture(path).narrow(0, 0, 3));
    }
#else
    if (!paths.empty()) {
        throw UsageError("--preview", "this build reads no pictures", "leave it out");
    }
#endif
    return previews;
}

void run(const TrainCommand& command, const Context& context) {
    set_threads(command.threads);
    const Placement placement =
        choose_placement({.device = command.device, .dtype = command.dtype});
    Recipe recipe = read_recipe(command.recipe, placement.device.is_cuda());
    if (command.minutes > 0) {
        // The autoencoder keeps its share of the budget.
        const double share =
            recipe.autoencoder.minutes > 0 && recipe.unet.minutes > 0
                ? recipe.autoencoder.minutes / (recipe.autoencoder.minutes + recipe.unet.minutes)
                : 0.1;
        recipe.autoencoder.minutes = command.minutes * share;
        recipe.unet.minutes = command.minutes * (1 - share);
    }
    TrainOptions options;
    options.placement = placement;
    options.init = command.init;
    options.previews = read_previews(command.previews);
    options.hooks.stop = context.stop;
#ifdef WEFT_WITH_VIDEO
    options.save_picture = write_picture;
    options.picture_suffix = ".jpg";
#endif
    if (context.verbosity != Verbosity::quiet) {
        options.hooks.report = TrainProgress();
    }
    train(recipe, command.folder, options);
    std::fprintf(stdout, "%s\n", command.folder.c_str());
}

}  // namespace

void add_train(CLI::App& command, Context& context) {
    auto options = std::make_shared<TrainCommand>();
    command
        .add_option("RECIPE", options->recipe, "Recipe, a TOML file (samples/recipes/starter.toml)")
        ->required();
    command
        .add_option(
            "-o,--output", options->folder,
            "Folder of the model; a run that was stopped goes on from its checkpoints there")
        ->required();
    command.add_option("--init", options->init,
                       "Model folder to go on from, of the recipe's shapes; its tokenizer and "
                       "autoencoder are kept");
    command
        .add_option("--minutes", options->minutes, "Time budget in all; 0: the recipe's own (0)")
        ->check(CLI::Range(0.0, 1e5));
    command.add_option("--device", options->device, "auto, cpu, cuda or cuda:N (auto)");
    command.add_option("--dtype", options->dtype,
                       "Precision inside networks: auto, f32, bf16 or f16 (auto)");
    command.add_option("--threads", options->threads, "CPU threads; 0: all cores (0)")
        ->check(CLI::Range(0, 1024));
    command.add_option("--preview", options->previews,
                       "Pictures that the sample sheets show edited");
    command.callback([options, &context] { run(*options, context); });
}

}  // namespace weft
