#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

namespace weft {

/// Where the time of an edit goes. Decoding and encoding of video run beside the others.
enum class Stage {
    analyse,
    decode_video,
    encode_latents,
    denoise,
    decode_latents,
    propagate,
    finish,
    encode_video
};

constexpr std::array all_stages{Stage::analyse, Stage::decode_video,   Stage::encode_latents,
                                Stage::denoise, Stage::decode_latents, Stage::propagate,
                                Stage::finish,  Stage::encode_video};

/// "decode video", "denoise" ...
const char* name_of(Stage stage);

/// Seconds spent in each stage so far. Thread-safe: yes.
class StageClock {
  public:
    void add(Stage stage, std::chrono::steady_clock::duration spent);
    double seconds(Stage stage) const;

    /// Adds the time between construction and destruction to a stage.
    class Lap {
      public:
        Lap(StageClock& clock, Stage stage);
        /// The same; does nothing where there is no clock.
        Lap(StageClock* clock, Stage stage);
        Lap(const Lap&) = delete;
        Lap& operator=(const Lap&) = delete;
        ~Lap();

      private:
        StageClock* clock_;
        Stage stage_;
        std::chrono::steady_clock::time_point start_;
    };

  private:
    std::array<std::atomic<int64_t>, all_stages.size()> nanoseconds_{};
};

/// Peak resident memory of this process in bytes, so far; 0 where the system does not tell.
int64_t peak_memory_bytes();

}  // namespace weft
