#include "temporal/at_once.h"

#include <ATen/Parallel.h>
#include <torch/types.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace weft;

namespace {

/// Sets LibTorch's number of threads while it lives.
class Threads {
  public:
    explicit Threads(int count) : before_(at::get_num_threads()) { at::set_num_threads(count); }

    Threads(const Threads&) = delete;
    Threads& operator=(const Threads&) = delete;

    ~Threads() { at::set_num_threads(before_); }

  private:
    int before_;
};

}  // namespace

TEST_CASE("every call is made once, on any number of threads") {
    const Threads threads(GENERATE(1, 2, 5));
    const int64_t count = GENERATE(0, 1, 3, 40);
    std::vector<std::atomic<int>> calls(count);
    at_once(count, [&](int64_t i) { ++calls.at(i); });
    CHECK(std::all_of(calls.begin(), calls.end(), [](const auto& n) { return n == 1; }));
}

#ifdef _OPENMP
// A file compiled without OpenMP runs parallel loops one by one, and says nothing.
TEST_CASE("calls run at the same time") {
    const Threads threads(2);
    std::atomic<int> begun{0};
    std::atomic<int> met{0};
    at_once(2, [&](int64_t) {
        ++begun;
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (begun < 2 && std::chrono::steady_clock::now() < end) {
            std::this_thread::yield();
        }
        met += begun == 2 ? 1 : 0;
    });
    CHECK(met == 2);
}
#endif

TEST_CASE("an error of a call reaches the caller") {
    const Threads threads(GENERATE(1, 2));
    const auto fail = [](int64_t i) {
        if (i == 2) {
            throw std::runtime_error("the third one");
        }
    };
    CHECK_THROWS_WITH(at_once(5, fail), "the third one");
}

TEST_CASE("calls compute in the mode of their caller") {
    const Threads threads(2);
    const torch::InferenceMode no_gradients;
    std::atomic<int> in_mode{0};
    at_once(8, [&](int64_t) { in_mode += torch::InferenceMode::is_enabled() ? 1 : 0; });
    CHECK(in_mode == 8);
}
