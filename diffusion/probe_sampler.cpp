#include "diffusion/probe_sampler.h"

#include "diffusion/model_source.h"
#include "diffusion/prediction.h"
#include "diffusion/torch_noise.h"
#include "io/files/error.h"

namespace weft {

namespace {

// Schedulers of these grids keep x / alpha; those of the others keep x.
bool keeps_scaled(const Sampler& sampler) {
    return sampler.grid == Grid::euler || sampler.grid == Grid::kdpm;
}

// The steps that take so many calls.
int64_t steps_for_calls(const Sampler& sampler, const SolverConfig& solver, int64_t calls) {
    for (int64_t steps = 1; steps <= calls; ++steps)
        if (sampler.calls(steps, solver) == calls)
            return steps;
    throw Error("model_output",
                c10::str("no number of steps of ", sampler.name, " takes ", calls, " of them"),
                "give one a network call, model_output.0 and up");
}

int64_t checked_steps(const ProbeRequest& request, const Sampler& sampler,
                      const SolverConfig& solver, int64_t calls) {
    if (!request.steps && calls > 0)
        return steps_for_calls(sampler, solver, calls);
    const int64_t steps = request.steps.value_or(1);
    const int64_t wanted = sampler.calls(steps, solver);
    if (calls != wanted)
        throw Error("model_output",
                    c10::str("the input file has ", calls, " of them; ", steps, " steps of ",
                             sampler.name, " make ", wanted, " network calls"),
                    "give one a network call, model_output.0 and up");
    return steps;
}

// As the scheduler lists them: those with two calls a step tell each step's twice.
std::vector<double> listed_sigmas(const Sampler& sampler, const Schedule& schedule,
                                  const std::vector<NoiseStep>& steps) {
    const auto value = [&](const NoiseLevel& level) {
        return schedule.is_flow() ? level.sigma : level.ratio();
    };
    const bool twice = sampler.calls(2, {}) == 3 && std::string(sampler.name) != "dpmpp_2s_a" &&
                       sampler.grid != Grid::pndm;
    std::vector<double> sigmas;
    for (size_t i = 0; i < steps.size(); ++i) {
        sigmas.push_back(value(steps[i].from));
        if (twice && i > 0)
            sigmas.push_back(sigmas.back());
    }
    const size_t ends = sampler.grid == Grid::kdpm ? 3 : 1;
    sigmas.insert(sigmas.end(), ends, value(steps.back().to));
    return sigmas;
}

NamedTensors levels_of(const Sampler& sampler, const Schedule& schedule,
                       const std::vector<double>& times, const std::vector<NoiseStep>& steps) {
    NamedTensors out;
    const bool fractions = keeps_scaled(sampler) || sampler.grid == Grid::flow;
    out.emplace_back(
        "timesteps",
        torch::tensor(times, torch::kFloat64).to(fractions ? torch::kFloat32 : torch::kInt64));
    const bool has_sigmas = fractions || sampler.grid == Grid::dpm || sampler.grid == Grid::unipc ||
                            sampler.grid == Grid::deis;
    if (has_sigmas)
        out.emplace_back("sigmas",
                         torch::tensor(listed_sigmas(sampler, schedule, steps), torch::kFloat32));
    return out;
}

Schedule schedule_of(const ModelSource& source) {
    ScheduleConfig config = read_schedule_config(source.config("scheduler"));
    const bool has_unet = source.has("unet");
    if (has_unet && source.config("unet").text("addition_embed_type", "") == "text_time")
        config.ays = AysTable::sdxl;
    return Schedule(std::move(config));
}

}  // namespace

StepNoise probe_noise(const ProbeRequest& request, const ProbeInputs& inputs,
                      const torch::Tensor& like) {
    if (inputs.has("noise.0"))
        return [given = inputs.list("noise", like.sizes())](int64_t draw) {
            if (draw >= static_cast<int64_t>(given.size()))
                throw Error("noise",
                            c10::str("the run draws noise.", draw, ", and the input file has ",
                                     given.size(), " of them"));
            return given[static_cast<size_t>(draw)];
        };
    return [noise = TorchNoise(request.seed), shape = like.sizes().vec(),
            device = like.device()](int64_t) mutable { return noise.next(shape).to(device); };
}

NamedTensors probe_sampler(const ProbeRequest& request) {
    const auto source = ModelSource::open(request.model);
    const ProbeInputs inputs(request.inputs, {});
    const Sampler& sampler = sampler_named(request.sampler.value_or("ddim"));
    const Schedule schedule = schedule_of(*source);
    const torch::Tensor start = inputs.floats("sample", {-1, -1, -1, -1});
    const std::vector<torch::Tensor> outputs = inputs.list("model_output", start.sizes());
    SamplerOptions options = sampler_options(sampler, schedule);
    const int64_t count =
        checked_steps(request, sampler, options.solver, static_cast<int64_t>(outputs.size()));
    const std::vector<NoiseStep> steps =
        noise_levels(schedule, {.grid = sampler.grid, .spacing = request.spacing, .steps = count});

    NamedTensors walked;
    const bool scaled = keeps_scaled(sampler);
    int64_t told = 0;
    options.eta = request.eta;
    options.noise = probe_noise(request, inputs, start);
    options.on_call = [&](const torch::Tensor& x, const NoiseLevel& level) {
        walked.emplace_back(c10::str("prev_sample.", told++), scaled ? x / level.alpha : x);
    };
    std::vector<double> times;
    const Denoise replay = [&](const torch::Tensor& x, const NoiseLevel& level) {
        const torch::Tensor& said = outputs.at(times.size());
        times.push_back(level.t);
        return to_x0(options.prediction, said, x, level);
    };
    sample(sampler, replay, scaled ? start * steps.front().from.alpha : start, steps, options);
    NamedTensors out = levels_of(sampler, schedule, times, steps);
    out.insert(out.end(), walked.begin(), walked.end());
    return out;
}

}  // namespace weft
