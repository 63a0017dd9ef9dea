#pragma once

#include <torch/types.h>

#include <functional>
#include <span>
#include <string>

#include "diffusion/injection.h"
#include "diffusion/model.h"

namespace weft {

/// How a source is put under an edit by plug-and-play (Tumanyan et al., arXiv 2211.12572).
struct PlugAndPlayOptions {
    std::string text = {};      // describes the source, for the inversion and the source's rows
    double features = 0.8;      // see Injection
    double maps = 0.5;          // see Injection
    int64_t rows_per_call = 0;  // frames of one network call of the inversion; 0: all
    /// Before each of those calls; what it throws ends the inversion.
    std::function<void()> on_call = {};
};

/// Inverts source frames by DDIM (no guidance) and says what an edit of them takes from them. For
/// models that are fed nothing beside the noisy latents; UsageError for others. Use:
///
///     const Injection injection = plug_and_play(model, model.encode(frames), steps);
///     const torch::Tensor start = injection.source.at(steps.front().from);
///     sample(sampler, model.denoise({.text = ..., .injection = injection}), start, steps);
///
/// With FrameLinks of Way::tokens that is TokenFlow as published.
/// @param latents [n, c, h, w] of the source frames, as DiffusionModel::encode returns them
/// @param steps those of the run, noise first; as many network calls are made for each frame
Injection plug_and_play(const DiffusionModel& model, const torch::Tensor& latents,
                        std::span<const NoiseStep> steps, const PlugAndPlayOptions& options = {});

}  // namespace weft
