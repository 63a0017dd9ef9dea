// Keeps a model loaded and times its parts on request, so that runs can be interleaved with those
// of another implementation: `bench_model MODEL DTYPE THREADS` reads one case a line from stdin
// and answers with one JSON line. `./dev bench model` (compare_models.py) is the other end.
//
//   unet SIDE BATCH         one network call on latents of SIDE x SIDE
//   unet-merged SIDE BATCH PERCENT   the same with so many percent of the finest tokens merged
//   vae-encode SIDE         one picture of SIDE x SIDE pixels
//   vae-decode SIDE         the same, decoded
//   text COUNT              COUNT prompts of 77 tokens
//   picture SIDE STEPS      a guided DDIM run of SIDE x SIDE latents, decoded
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "diffusion/device.h"
#include "diffusion/model.h"
#include "io/files/error.h"

namespace weft {
namespace {

using Numbers = std::vector<int64_t>;
using Case = std::function<void(const DiffusionModel&, const Numbers&)>;

const std::string prompt = "a watercolor painting of a lighthouse by the sea at dusk";

torch::Tensor latents(const DiffusionModel& model, int64_t count, int64_t side) {
    return torch::randn({count, model.traits().latent_channels, side, side});
}

void call_unet(const DiffusionModel& model, const Numbers& numbers, double merged) {
    static const TextCondition text = model.encode_text({prompt});
    const Denoise denoise =
        model.denoise({.text = text, .negative = {}, .merge = {.ratio = merged}});
    denoise(latents(model, numbers.at(1), numbers.at(0)), model.schedule().level(500));
}

void run_unet(const DiffusionModel& model, const Numbers& numbers) {
    call_unet(model, numbers, 0);
}

void run_unet_merged(const DiffusionModel& model, const Numbers& numbers) {
    call_unet(model, numbers, 0.01 * static_cast<double>(numbers.at(2)));
}

void run_vae_encode(const DiffusionModel& model, const Numbers& numbers) {
    model.encode(torch::rand({1, 3, numbers.at(0), numbers.at(0)}));
}

void run_vae_decode(const DiffusionModel& model, const Numbers& numbers) {
    model.decode(latents(model, 1, numbers.at(0) / model.traits().downscale));
}

void run_text(const DiffusionModel& model, const Numbers& numbers) {
    model.encode_text(std::vector<std::string>(numbers.at(0), prompt));
}

void run_picture(const DiffusionModel& model, const Numbers& numbers) {
    const Sampler& ddim = sampler_named("ddim");
    const std::vector<NoiseStep> steps = model.levels(ddim, numbers.at(1));
    const Denoise denoise = model.denoise({.text = model.encode_text({prompt}),
                                           .negative = model.encode_negative({""}),
                                           .guidance = 7.5});
    model.decode(sample(ddim, denoise, latents(model, 1, numbers.at(0)), steps,
                        sampler_options(ddim, model.schedule())));
}

const std::map<std::string, Case>& cases() {
    static const std::map<std::string, Case> all{{"unet", run_unet},
                                                 {"unet-merged", run_unet_merged},
                                                 {"vae-encode", run_vae_encode},
                                                 {"vae-decode", run_vae_decode},
                                                 {"text", run_text},
                                                 {"picture", run_picture}};
    return all;
}

double seconds_of(const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

double cpu_seconds(const rusage& use) {
    return seconds_of(use.ru_utime) + seconds_of(use.ru_stime);
}

// Runs one case and prints what it took.
void answer(const DiffusionModel& model, const std::string& line) {
    std::istringstream words(line);
    std::string name;
    words >> name;
    Numbers numbers;
    for (int64_t number = 0; words >> number;) {
        numbers.push_back(number);
    }
    const auto found = cases().find(name);
    if (found == cases().end() || numbers.empty() ||
        *std::min_element(numbers.begin(), numbers.end()) < 1) {
        throw UsageError(line, "is no case", "see the top of tests/bench/model_server.cpp");
    }
    const torch::NoGradGuard inference;
    torch::manual_seed(1);
    rusage before{};
    rusage after{};
    getrusage(RUSAGE_SELF, &before);
    const auto start = std::chrono::steady_clock::now();
    found->second(model, numbers);
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    getrusage(RUSAGE_SELF, &after);
    std::printf(R"({"seconds":%.5f,"cpu_seconds":%.5f,"page_faults":%ld,"peak_rss_mib":%ld})"
                "\n",
                spent.count(), cpu_seconds(after) - cpu_seconds(before),
                after.ru_minflt - before.ru_minflt, after.ru_maxrss >> 10);
    std::fflush(stdout);
}

int serve(const std::string& folder, const std::string& dtype, int64_t threads) {
    set_threads(threads);
    const auto model = DiffusionModel::load(folder, {.device = "cpu", .dtype = dtype});
    std::puts("ready");
    std::fflush(stdout);
    for (std::string line; std::getline(std::cin, line);) {
        answer(*model, line);
    }
    return 0;
}

}  // namespace
}  // namespace weft

int main(int argc, char** argv) {
    weft::tune_allocator();
    try {
        if (argc != 4) {
            throw weft::UsageError("bench_model", "takes MODEL DTYPE THREADS");
        }
        return weft::serve(argv[1], argv[2], std::stol(argv[3]));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench_model: error: %s\n", error.what());
        return 1;
    }
}
