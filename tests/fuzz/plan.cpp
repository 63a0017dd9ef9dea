// Feeds arbitrary bytes to the plan border: every input is a list of problems or a plan that reads
// back from its own text. Run: fuzz_plan CORPUS_FOLDER -max_total_time=1200 -only_ascii=1
#include <cstdlib>

#include "video/plan_file.h"

// libFuzzer gives the name.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    const weft::PlanReading first = weft::parse_plan(text, "fuzz");
    if (!first.problems.empty())
        return 0;
    const weft::PlanReading second = weft::parse_plan(weft::to_toml(first.plan), "again");
    if (!second.problems.empty() || !(second.plan == first.plan))
        std::abort();
    return 0;
}
