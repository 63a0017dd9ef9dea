// Benchmarks: `bench [NAME...]` prints one JSON line a case, the least of five runs after a
// warm-up. Compare lines of one run only: machines differ, and so does the same machine an hour
// later.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "diffusion/device.h"
#include "diffusion/model.h"
#include "io/files/error.h"
#include "io/media/reader.h"
#include "tests/bench/media.h"
#include "video/editor.h"
#include "video/job.h"
#include "video/stages.h"

namespace weft {
namespace {

constexpr int runs = 5;

const std::filesystem::path sample_clip =
    std::filesystem::path(WEFT_SOURCE_DIR) / "samples/clip.mp4";
const std::filesystem::path starter = std::filesystem::path(WEFT_SOURCE_DIR) / "models/starter";

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// One frame of 512x288 through the starter model with its defaults: seconds by stage.
void bench_stylize() {
    const Placement placement = choose_placement({});
    const auto model = DiffusionModel::load(starter, {});
    Plan plan;
    plan.prompt = Curve<std::string>::constant("watercolor painting");
    auto source = open_video(sample_clip);
    const Frame frame = source->next().value();
    const Editor editor(model, resolve(plan, source->info(), model->traits()));
    const FrameBatch batch{frame.pixels.unsqueeze(0), {0}, {0.0}};
    editor.render(batch);
    double best = std::numeric_limits<double>::infinity(), encode = 0, denoise = 0, decode = 0;
    for (int i = 0; i < runs; ++i) {
        StageClock clock;
        const auto start = std::chrono::steady_clock::now();
        editor.render(batch, {.clock = &clock, .on_step = {}});
        if (const double spent = seconds_since(start); spent < best) {
            best = spent;
            encode = clock.seconds(Stage::encode_latents);
            denoise = clock.seconds(Stage::denoise);
            decode = clock.seconds(Stage::decode_latents);
        }
    }
    std::printf(
        R"({"bench":"stylize","width":%ld,"height":%ld,"steps":%ld,"dtype":"%s","seconds_per_frame":%.4f,)"
        R"("encode_latents":%.4f,"denoise":%.4f,"decode_latents":%.4f,"peak_rss_mib":%ld})"
        "\n",
        editor.job().fit.padded.width, editor.job().fit.padded.height, *editor.job().plan.steps,
        torch::toString(placement.dtype), best, encode, denoise, decode, peak_memory_bytes() >> 20);
}

struct Bench {
    const char* name;
    void (*run)();
};

constexpr std::array benches{Bench{"media", bench_media}, Bench{"stylize", bench_stylize}};

int run_benches(const std::vector<std::string>& wanted) {
    for (const std::string& name : wanted) {
        if (std::none_of(std::begin(benches), std::end(benches),
                         [&](const Bench& bench) { return name == bench.name; })) {
            std::fprintf(stderr, "bench: no benchmark '%s'; there are: media, stylize\n",
                         name.c_str());
            return 2;
        }
    }
    for (const Bench& bench : benches) {
        if (wanted.empty() || std::find(wanted.begin(), wanted.end(), bench.name) != wanted.end()) {
            bench.run();
            std::fflush(stdout);
        }
    }
    return 0;
}

}  // namespace
}  // namespace weft

int main(int argc, char** argv) {
    weft::tune_allocator();
    try {
        if (argc == 4 && std::string(argv[1]) == "--copy")
            return weft::copy_for_bench(argv[2], argv[3]);
        return weft::run_benches({argv + 1, argv + argc});
    } catch (const weft::Error& error) {
        std::fprintf(stderr, "bench: error: %s\n", error.what());
        return 1;
    }
}
