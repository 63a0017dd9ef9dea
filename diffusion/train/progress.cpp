#include "diffusion/train/progress.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <fstream>

#include "io/files/error.h"

namespace weft {
namespace {

double seconds(std::chrono::steady_clock::duration span) {
    return std::chrono::duration<double>(span).count();
}

}  // namespace

StageRun::StageRun(std::string stage, std::filesystem::path folder, StageRecipe recipe,
                   Optimizer& optimizer, TrainHooks hooks)
    : stage_(std::move(stage)),
      folder_(std::move(folder)),
      recipe_(std::move(recipe)),
      optimizer_(optimizer),
      hooks_(std::move(hooks)) {
    std::filesystem::create_directories(folder_);
    restore();
    first_step_ = step_;
    start_ = last_save_ = last_tell_ = last_sheet_ = Clock::now();
}

bool StageRun::goes_on() {
    if (hooks_.stop != nullptr && hooks_.stop->load()) {
        save();
        throw Interrupted(c10::str("training stopped in '", stage_, "' after ", step_,
                                   " steps; the same command goes on from there"));
    }
    return !finished_ && done() < 1.0;
}

double StageRun::elapsed_minutes() const {
    return (earlier_seconds_ + seconds(Clock::now() - start_)) / 60.0;
}

double StageRun::done() const {
    const double by_steps = static_cast<double>(step_) / static_cast<double>(recipe_.steps);
    const double by_time = recipe_.minutes > 0 ? elapsed_minutes() / recipe_.minutes : 0.0;
    return std::clamp(std::max(by_steps, by_time), 0.0, 1.0);
}

int64_t StageRun::step() const {
    return step_;
}

double StageRun::learning_rate() const {
    return cosine_rate(recipe_.learning_rate, step_, recipe_.warmup, done());
}

double StageRun::mean_loss() const {
    return mean_loss_;
}

bool StageRun::finished() const {
    return finished_;
}

void StageRun::finish_step(double loss) {
    mean_loss_ = step_ == 0
                     ? loss
                     : mean_loss_ + (loss - mean_loss_) /
                                        std::min<double>(50.0, static_cast<double>(step_) + 1.0);
    ++step_;
    if (step_ % 20 == 0) {
        std::ofstream(folder_ / (stage_ + "_loss.tsv"), std::ios::app)
            << step_ << '\t' << mean_loss_ << '\t' << learning_rate() << '\t' << elapsed_minutes()
            << '\n';
    }
    const Clock::time_point now = Clock::now();
    if (seconds(now - last_tell_) >= hooks_.report_seconds) {
        last_tell_ = now;
        tell();
    }
    if (seconds(now - last_save_) > recipe_.checkpoint_minutes * 60.0) {
        save();
    }
}

void StageRun::tell() {
    if (!hooks_.report) {
        return;
    }
    const double spent = seconds(Clock::now() - start_);
    const double per_step = spent / static_cast<double>(std::max<int64_t>(1, step_ - first_step_));
    double left = per_step * static_cast<double>(recipe_.steps - step_);
    if (recipe_.minutes > 0) {
        left = std::min(left, (recipe_.minutes - elapsed_minutes()) * 60.0);
    }
    hooks_.report({.stage = stage_,
                   .step = step_,
                   .steps = recipe_.steps,
                   .loss = mean_loss_,
                   .learning_rate = learning_rate(),
                   .seconds_per_step = per_step,
                   .seconds_left = std::max(0.0, left)});
}

bool StageRun::sheet_due() {
    if (seconds(Clock::now() - last_sheet_) < recipe_.sheet_minutes * 60.0) {
        return false;
    }
    last_sheet_ = Clock::now();
    return true;
}

void StageRun::finish() {
    finished_ = true;
    save();
}

void StageRun::save() {
    // The whole state is one file that is renamed into place, so a kill at any moment leaves a good
    // one.
    save_safetensors(folder_ / (stage_ + ".safetensors"), optimizer_.state(),
                     {{"step", std::to_string(step_)},
                      {"optimizer_steps", std::to_string(optimizer_.steps())},
                      {"seconds", std::to_string(elapsed_minutes() * 60.0)},
                      {"loss", std::to_string(mean_loss_)},
                      {"finished", finished_ ? "1" : "0"}});
    last_save_ = Clock::now();
}

void StageRun::restore() {
    const std::filesystem::path path = folder_ / (stage_ + ".safetensors");
    if (!std::filesystem::exists(path)) {
        return;
    }
    const SafeTensors file(path);
    try {
        step_ = std::stoll(file.metadata().at("step"));
        earlier_seconds_ = std::stod(file.metadata().at("seconds"));
        mean_loss_ = std::stod(file.metadata().at("loss"));
        finished_ = file.metadata().at("finished") == "1";
        optimizer_.restore(file, std::stoll(file.metadata().at("optimizer_steps")));
    } catch (const std::logic_error&) {
        throw Error(path.string(), "it is no checkpoint of weft train", "delete it to start again");
    }
}

}  // namespace weft
