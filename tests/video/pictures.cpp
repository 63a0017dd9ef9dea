// Pictures drawn with --rng torch are those of diffusers' StableDiffusionPipeline; the references
// come from tests/parity/make_picture_references.py.
#include <catch2/catch.hpp>
#include <cmath>

#include "io/files/config.h"
#include "io/files/error.h"
#include "io/files/safetensors.h"
#include "video/editor.h"

using namespace weft;

namespace {

const std::string parity = std::string(WEFT_SOURCE_DIR) + "/tests/parity";

Plan plan_of(const Config& options) {
    Plan plan;
    plan.prompt = Curve<std::string>::constant(options.text("prompt"));
    plan.negative = options.text("negative");
    plan.steps = options.integer("steps", {1, 1000});
    plan.guidance = options.number("guidance", {1, 30});
    plan.seed = options.integer("seed", {0, 1e9});
    plan.size = options.text("size");
    plan.rng = "torch";
    return plan;
}

// [3, h, w] in 0 .. 255, rounded.
torch::Tensor draw(const DiffusionModel& model, const Plan& plan) {
    const Size size = *parse_size(plan.size);
    StreamInfo info;
    info.width = size.width;
    info.height = size.height;
    const Job job = resolve(plan, info, model.traits());
    return (generate(model, job, std::vector<int64_t>{0})[0] * 255).round();
}

double psnr(const torch::Tensor& ours, const torch::Tensor& theirs) {
    const auto error = (ours - theirs).square().mean().item<double>();
    return 10 * std::log10(255 * 255 / std::max(error, 1e-9));
}

}  // namespace

TEST_CASE("pictures drawn with torch's numbers are diffusers'") {
    const SafeTensors file(parity + "/pictures.safetensors");
    const Config options = Config::parse(file.metadata().at("options"), "pictures");
    const auto model = DiffusionModel::load(parity + "/models/sd", {"cpu", "f32"});
    CHECK(file.entries().size() > 12);
    for (const auto& [name, entry] : file.entries()) {
        Plan plan = plan_of(options);
        plan.sampler = name;
        const torch::Tensor theirs = file.tensor(name).to(torch::kFloat32).permute({2, 0, 1});
        const double likeness = psnr(draw(*model, plan), theirs);
        INFO(name << ": " << likeness << " dB");
        // Other samplers' pictures are at most 54 dB away, other seeds' 20 dB.
        CHECK(likeness > 56);
        if (name == "ddim") {
            plan.rng = "keyed";
            CHECK(psnr(draw(*model, plan), theirs) < 30);
        }
    }
}

TEST_CASE("torch's numbers are one stream for fixed noise and one a frame for independent") {
    const auto model = DiffusionModel::load(parity + "/models/sd", {"cpu", "f32"});
    StreamInfo info;
    info.width = 32;
    info.height = 32;
    Plan plan;
    plan.rng = "torch";
    plan.seed = 5;
    const auto drawn = [&](const char* kind, int64_t frame) {
        plan.noise = kind;
        const Job job = resolve(plan, info, model->traits());
        return draw_noise(job, NoisePurpose::step, 2, std::vector<int64_t>{frame}, {4, 8, 8});
    };
    CHECK(torch::equal(drawn("fixed", 0), drawn("fixed", 9)));
    CHECK(torch::equal(drawn("fixed", 0), drawn("independent", 0)));
    CHECK_FALSE(torch::equal(drawn("independent", 0), drawn("independent", 1)));
    CHECK_THROWS_WITH(drawn("mixed", 0), Catch::Contains("rng: torch"));
}

TEST_CASE("eta is refused where a sampler has no use for it") {
    const auto traits = DiffusionModel::read_traits(parity + "/models/sd");
    StreamInfo info;
    info.width = 32;
    info.height = 32;
    Plan plan;
    plan.eta = 0.5;
    plan.sampler = "euler_a";
    CHECK(resolve(plan, info, traits).plan.eta == 0.5);
    plan.sampler = "euler";
    CHECK_THROWS_WITH(resolve(plan, info, traits), Catch::Contains("eta: euler has no choice"));
}
