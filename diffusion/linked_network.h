#pragma once

#include <torch/types.h>

#include <functional>
#include <optional>

#include "diffusion/frame_links.h"
#include "diffusion/injection.h"
#include "diffusion/linked_rows.h"
#include "diffusion/text_condition.h"

namespace weft {

/// One call of a network on some rows of a step's batch.
struct NetworkCall {
    torch::Tensor input;           // [rows, c, h, w]
    TextCondition text;            // of as many rows
    Coupling* coupling = nullptr;  // not owned; must be handed to the network
    /// Counts the calls of a step from 0; a call of this number runs the same frames at every step.
    int64_t number = 0;
};

using CoupledNetwork = std::function<torch::Tensor(const NetworkCall& call)>;

/// All rows of one step: n frames in each branch of guidance.
struct LinkedBatch {
    int64_t frames = 0;   // n
    torch::Tensor input;  // [branches * n, c, h, w], branch by branch
    TextCondition text;   // of as many rows
    int64_t match = 0;    // see RowLayout
    int64_t call = 0;     // see ReferenceBank
    // Plug-and-play: the source's rows [n, c, h, w] at this step and their texts, and what the
    // branches take from them. Undefined: no source runs along.
    torch::Tensor source = {};
    TextCondition source_text = {};
    TakenSites taken = {};
};

/// Whether the source must run along at a level: something is taken from it, or it tells which
/// tokens correspond.
bool needs_source(const Injection& injection, const std::optional<FrameLinks>& links,
                  const NoiseLevel& level);

/// What is taken from the source at a level.
TakenSites taken_sites(const Injection& injection, const NoiseLevel& level,
                       const UnetConfig& config);

/// n frames that see nobody.
FrameLinks unlinked(int64_t n);

/// What the network answers to all rows, with frames linked: the references' call first, then the
/// other rows in calls of links.rows_per_call.
/// @return [branches * n, c', h, w]
torch::Tensor run_linked(const FrameLinks& links, const LinkedBatch& batch,
                         const CoupledNetwork& network);

}  // namespace weft
