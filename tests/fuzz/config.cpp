// Feeds arbitrary bytes to the JSON border: every input is an Error or a tree whose keys can all be
// asked for as anything. Run: fuzz_config CORPUS_FOLDER -max_total_time=60
#include <functional>

#include "io/files/config.h"
#include "io/files/error.h"

namespace {

using weft::Config;

void try_out(const std::function<void()>& read) {
    try {
        read();
    } catch (const weft::Error&) {
        return;  // The wrong type or out of range: what a user is told.
    }
}

void walk(const Config& config) {
    for (const auto& key : config.keys()) {
        try_out([&] { config.integer(key, {}); });
        try_out([&] { config.number(key, {-1, 1}); });
        try_out([&] { config.flag(key); });
        try_out([&] { config.text(key); });
        try_out([&] { config.integers(key, {}, 4); });
        try_out([&] { config.numbers(key, {}); });
        try_out([&] { config.texts(key); });
        try_out([&] { walk(config.object(key)); });
    }
}

}  // namespace

// libFuzzer gives the name.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    try_out([&] { walk(Config::parse(text, "fuzz")); });
    return 0;
}
