#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "diffusion/adapter_choice.h"
#include "video/curve.h"
#include "video/plan.h"

namespace weft {

/// One `lora` of a plan.
struct PlanLora {
    LoraChoice choice;
    /// Strength over the clip's time on top of the choice's weights; empty: 1 throughout.
    Curve<double> strength;
};

/// Reads "FILE[:WEIGHT[:PART=W,...]]". WEIGHT is a number, or changes over time: "W@S..W@S...",
/// weights at seconds from the clip's first frame, going straight from one to the next, as in
/// "a.safetensors:0@1..0.8@3". The weights of parts are then factors of it. Error and UsageError as
/// parse_lora().
PlanLora parse_plan_lora(const std::string& text);

/// The plan's LoRAs, each with the mode it runs in: that of `lora_mode`, or varying.
std::vector<PlanLora> plan_loras(const Plan& plan);

/// Strengths [times, loras] f32 at some times; undefined where none changes over time.
torch::Tensor lora_strengths(const std::vector<Curve<double>>& loras,
                             const std::vector<double>& time_s);

}  // namespace weft
