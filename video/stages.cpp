#include "video/stages.h"

#include <sys/resource.h>

namespace weft {
namespace {

size_t place(Stage stage) {
    return static_cast<size_t>(stage);
}

}  // namespace

const char* name_of(Stage stage) {
    constexpr std::array names{"analyse",        "decode video", "encode latents", "denoise",
                               "decode latents", "propagate",    "finish",         "encode video"};
    static_assert(names.size() == all_stages.size());
    return names.at(place(stage));
}

void StageClock::add(Stage stage, std::chrono::steady_clock::duration spent) {
    nanoseconds_.at(place(stage)) +=
        std::chrono::duration_cast<std::chrono::nanoseconds>(spent).count();
}

double StageClock::seconds(Stage stage) const {
    return static_cast<double>(nanoseconds_.at(place(stage)).load()) * 1e-9;
}

StageClock::Lap::Lap(StageClock& clock, Stage stage) : Lap(&clock, stage) {}

StageClock::Lap::Lap(StageClock* clock, Stage stage)
    : clock_(clock), stage_(stage), start_(std::chrono::steady_clock::now()) {}

StageClock::Lap::~Lap() {
    if (clock_ != nullptr) {
        clock_->add(stage_, std::chrono::steady_clock::now() - start_);
    }
}

int64_t peak_memory_bytes() {
    rusage usage{};
    return getrusage(RUSAGE_SELF, &usage) == 0 ? int64_t{usage.ru_maxrss} * 1024 : 0;
}

}  // namespace weft
