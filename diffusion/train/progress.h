#pragma once

#include <torch/types.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <string>

#include "diffusion/train/optimizer.h"
#include "diffusion/train/recipe.h"

namespace weft {

/// What a training stage tells while it runs.
struct TrainReport {
    std::string stage;  // "autoencoder", "unet"
    int64_t step = 0, steps = 0;
    double loss = 0;  // running mean of the last ~50 steps
    double learning_rate = 0;
    double seconds_per_step = 0;
    double seconds_left = 0;  // by the recipe's steps or minutes, whichever ends first
};

/// How a run reaches its caller.
struct TrainHooks {
    std::function<void(const TrainReport&)> report;
    double report_seconds = 2;                // between reports; 0: after every step
    const std::atomic<bool>* stop = nullptr;  // set: write a checkpoint and throw Interrupted
};

/// Clock, checkpoints and the loss curve of one stage in `folder` (the run's work folder). The
/// steps and the time that earlier, killed runs spent count. Thread-safe: no.
class StageRun {
  public:
    StageRun(std::string stage, std::filesystem::path folder, StageRecipe recipe,
             Optimizer& optimizer, TrainHooks hooks);

    /// True while steps and time are left. Throws Interrupted after saving where the caller asked
    /// to stop.
    bool goes_on();
    /// Share of the run that is over, [0, 1].
    double done() const;
    int64_t step() const;
    double learning_rate() const;
    /// Books one finished step; saves a checkpoint and appends to the loss curve where it is time.
    void finish_step(double loss);
    /// True once every `sheet_minutes`.
    bool sheet_due();
    /// Marks the stage as finished and saves its last checkpoint.
    void finish();
    /// True where an earlier run has finished this stage.
    bool finished() const;
    double elapsed_minutes() const;
    double mean_loss() const;

  private:
    using Clock = std::chrono::steady_clock;
    void save();
    void restore();
    void tell();

    std::string stage_;
    std::filesystem::path folder_;
    StageRecipe recipe_;
    Optimizer& optimizer_;
    TrainHooks hooks_;
    Clock::time_point start_, last_save_, last_tell_, last_sheet_;
    double earlier_seconds_ = 0;
    int64_t step_ = 0, first_step_ = 0;
    double mean_loss_ = 0;
    bool finished_ = false;
};

}  // namespace weft
