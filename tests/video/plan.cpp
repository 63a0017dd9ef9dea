#include "video/plan.h"

#include <catch2/catch.hpp>

#include "io/files/error.h"
#include "video/plan_file.h"
#include "video/plan_lora.h"

using namespace weft;

namespace {

const PlanField& field(const std::string& key) {
    for (const PlanField& candidate : plan_fields()) {
        if (key == candidate.key) {
            return candidate;
        }
    }
    throw std::out_of_range(key);
}

}  // namespace

TEST_CASE("curves hold texts and join numbers by straight lines") {
    const Curve<double> strength{{{1, 0.2}, {3, 1.0}}};
    CHECK(strength.at(0) == Approx(0.2));
    CHECK(strength.at(2) == Approx(0.6));
    CHECK(strength.at(9) == Approx(1.0));
    const Curve<std::string> prompt{{{0, "day"}, {2, "night"}}};
    CHECK(prompt.at(1.99) == "day");
    CHECK(prompt.at(2) == "night");
}

TEST_CASE("a plan survives being written and read") {
    Plan plan;
    plan.model = "starter";
    plan.prompt = {{{0, "a \"quoted\" \n sky \\ ☀"}, {1.5, "night"}}};
    plan.negative = "blur";
    const std::string lora = std::string(WEFT_SOURCE_DIR) + "/tests/parity/lora/one.safetensors";
    plan.lora = {lora + ":0.5:mid=0.1,up.1=2", lora};
    plan.lora_mode = "unmerged";
    plan.guidance_interval = "0.3..5";
    plan.cache_every = 2;
    plan.merge_tokens = 0.5;
    plan.shape_fusion = 0.3;
    plan.pixel_fusion = 0.4;
    plan.anchor_style = 0.5;
    plan.plug_and_play = 0.8;
    plan.source_prompt = "a photo of a street";
    plan.embedding = {lora + ":<a \"word\">"};
    plan.clip_skip = 2;
    plan.prediction = "v";
    plan.vae = "other vae.safetensors";
    plan.strength = Curve<double>::constant(0.1);
    plan.guidance = 2.5;
    plan.steps = 8;
    plan.guidance_rescale = 0.7;
    plan.sampler = "ddim";
    plan.spacing = "beta";
    plan.eta = 0.25;
    plan.rng = "torch";
    plan.seed = int64_t{1} << 53;
    plan.noise = "mixed";
    plan.noise_share = 1.0 / 3;
    plan.size = "512x288";
    plan.from = "90f";
    plan.crf = 20;
    const auto reading = parse_plan(to_toml(plan), "plan.toml");
    CHECK(reading.problems == Problems{});
    CHECK(reading.plan == plan);
}

TEST_CASE("a plan file reports all its problems with their lines") {
    const auto reading = parse_plan(
        "weft_plan = 1\n"
        "strenght = 0.5\n"
        "strength = 1.5\n"
        "steps = \"many\"\n"
        "noise = \"loud\"\n"
        "prompt = [ { at = 2, value = \"a\" }, { at = 1, value = \"b\" } ]\n"
        "size = \"big\"\n"
        "guidance = 3\n",
        "p.toml");
    const auto has = [&](const std::string& start) {
        for (const auto& problem : reading.problems) {
            if (problem.rfind(start, 0) == 0) {
                return true;
            }
        }
        return false;
    };
    CHECK(reading.problems.size() == 6);
    CHECK(has("p.toml:2: strenght: unknown key"));
    CHECK(has("p.toml:3: strength: must be from 0 to 1"));
    CHECK(has("p.toml:4: steps: must be a whole number"));
    CHECK(has("p.toml:5: noise: unknown value 'loud'; known: fixed, independent, mixed"));
    CHECK(has("p.toml:6: prompt: key times must"));
    CHECK(has("p.toml:7: size: 'big' is no size"));
    CHECK(reading.plan.guidance == 3.0);
    CHECK(reading.plan.strength.empty());
}

TEST_CASE("plan files of another kind or version are problems") {
    CHECK(parse_plan("prompt = \"x\"\n", "p").problems.size() == 1);
    CHECK(parse_plan("weft_plan = 2\n", "p").problems.front() ==
          "p:1: weft_plan: this weft reads version 1");
    const auto broken = parse_plan("weft_plan = 1\nprompt = \"x\n", "p");
    REQUIRE(broken.problems.size() == 1);
    CHECK(broken.problems.front().rfind("p:2: ", 0) == 0);
    CHECK_THROWS_AS(read_plan("/nowhere/plan.toml"), Error);
}

TEST_CASE("options are read from text by the same table") {
    Plan plan;
    CHECK(assign_text(field("strength"), plan, "0.25").empty());
    CHECK(plan.strength == Curve<double>::constant(0.25));
    CHECK(assign_text(field("steps"), plan, "8").empty());
    CHECK(plan.steps == 8);
    CHECK(assign_text(field("prompt"), plan, "12").empty());
    CHECK(plan.prompt.at(0) == "12");
    CHECK(assign_text(field("steps"), plan, "8.5") == "must be a whole number");
    CHECK(assign_text(field("steps"), plan, "0") == "must be from 1 to 1000, not 0");
    CHECK(assign_text(field("guidance"), plan, "nan") == "must be from 1 to 30, not nan");
    CHECK(assign_text(field("guidance"), plan, "2x") == "must be a number, not '2x'");
    CHECK(assign_text(field("sampler"), plan, "magic").rfind("unknown value 'magic'; known: ", 0) ==
          0);
    CHECK_FALSE(assign_text(field("from"), plan, "soon").empty());
}

TEST_CASE("lists grow by options and are read from one text or several") {
    const std::string file = std::string(WEFT_SOURCE_DIR) + "/tests/parity/lora/one.safetensors";
    Plan plan;
    CHECK(assign_text(field("lora"), plan, file).empty());
    CHECK(assign_text(field("lora"), plan, file + ":0.5").empty());
    CHECK(plan.lora == std::vector<std::string>{file, file + ":0.5"});
    CHECK(assign_text(field("lora"), plan, "/nowhere:1").find("no such LoRA") != std::string::npos);
    CHECK(plan.lora.size() == 2);
    const auto one = parse_plan(c10::str("weft_plan = 1\nlora = \"", file, "\"\n"), "p");
    CHECK(one.plan.lora == std::vector<std::string>{file});
    CHECK(parse_plan("weft_plan = 1\nlora = [ 1 ]\n", "p").problems.size() == 1);
    CHECK(parse_plan("weft_plan = 1\nlora = []\n", "p").problems.size() == 1);
    CHECK(parse_plan("weft_plan = 1\nlora = 1\n", "p").problems.size() == 1);
}

TEST_CASE("a LoRA's weight may change over time") {
    const std::string file = std::string(WEFT_SOURCE_DIR) + "/tests/parity/lora/one.safetensors";
    const PlanLora still = parse_plan_lora(file + ":0.5:mid=2");
    CHECK(still.choice == parse_lora(file + ":0.5:mid=2"));
    CHECK(still.strength.empty());
    const PlanLora keyed = parse_plan_lora(file + ":-.5@0.5..2@1..0@1.5:mid=0.5");
    CHECK(keyed.choice.mode == LoraMode::varying);
    CHECK(keyed.choice.weight == 1);
    CHECK(keyed.choice.parts == std::map<std::string, double>{{"mid", 0.5}});
    CHECK(keyed.strength.at(0) == -0.5);
    CHECK(keyed.strength.at(0.75) == Approx(0.75));
    CHECK(keyed.strength.at(9) == 0);
    for (const std::string bad :
         {":1@", ":@1", ":1@2..3@2", ":1@2..", ":11@0", ":1@-1", ":1@0:nowhere=1", ":a@0"}) {
        INFO(bad);
        CHECK_THROWS_AS(parse_plan_lora(file + bad), UsageError);
        Plan plan;
        CHECK_FALSE(assign_text(field("lora"), plan, file + bad).empty());
    }
    const auto strengths = lora_strengths({{}, keyed.strength}, {0.5, 1.25});
    CHECK(torch::allclose(strengths, torch::tensor({{1.0F, -0.5F}, {1.0F, 1.0F}})));
    CHECK_FALSE(lora_strengths({{}, {}}, {0.5}).defined());
    Plan plan;
    plan.lora = {file, file + ":0@0..1@1"};
    CHECK(plan_loras(plan)[0].choice.mode == LoraMode::merged);
    plan.lora_mode = "unmerged";
    CHECK(plan_loras(plan)[0].choice.mode == LoraMode::unmerged);
    CHECK(plan_loras(plan)[1].choice.mode == LoraMode::varying);
}

TEST_CASE("what is given on top replaces what is below, field by field") {
    Plan below;
    below.steps = 8;
    below.sampler = "ddim";
    Plan above;
    above.steps = 4;
    overlay(below, above);
    CHECK(below.steps == 4);
    CHECK(below.sampler == "ddim");
}

TEST_CASE("sizes are read strictly") {
    CHECK(parse_size("512x288") == Size{512, 288});
    for (const char* wrong : {"", "x", "512", "512x", "x288", "512X288", "8x8", "1e3x100", "-5x20",
                              "512x288x3", "99999x16"}) {
        INFO(wrong);
        CHECK_FALSE(parse_size(wrong));
    }
}

TEST_CASE("all problems go out as one usage error") {
    CHECK_NOTHROW(throw_problems({}));
    CHECK_THROWS_WITH(throw_problems({"a: b", "c: d"}), "a: b\nc: d");
    CHECK_THROWS_AS(throw_problems({"a: b"}), UsageError);
}

TEST_CASE("the plans of the samples are sound") {
    int plans = 0;
    for (const auto& entry :
         std::filesystem::directory_iterator(WEFT_SOURCE_DIR "/samples/plans")) {
        INFO(entry.path());
        CHECK(read_plan(entry.path()).problems == Problems{});
        ++plans;
    }
    CHECK(plans > 0);
}
