#include "diffusion/coupling.h"

#include <catch2/catch.hpp>
#include <set>

#include "diffusion/attention.h"
#include "diffusion/unet.h"

namespace weft {
namespace {

UnetConfig small_unet() {
    UnetConfig config;
    config.in_channels = 4;
    config.out_channels = 4;
    config.sample_size = 8;
    config.down_block_types = {"DownBlock2D", "CrossAttnDownBlock2D"};
    config.up_block_types = {"CrossAttnUpBlock2D", "UpBlock2D"};
    config.block_out_channels = {8, 16};
    config.layers_per_block = {1};
    config.norm_num_groups = 4;
    config.attention_head_dim = {1, 2};
    config.cross_attention_dim = {12};
    return config;
}

// A network off its starting values, with fixed inputs.
struct Fixture {
    Weights weights = Weights::create(1);
    Unet unet{small_unet(), weights};
    torch::Tensor sample, text;
    torch::NoGradGuard inference;

    Fixture() {
        torch::manual_seed(4);
        for (auto& [name, tensor] : weights.tensors()) {
            torch::Tensor parameter = tensor;
            parameter.add_(0.1 * torch::randn_like(parameter));
        }
        sample = torch::randn({3, 4, 8, 8});
        text = torch::randn({3, 4, 12});
    }

    torch::Tensor run(Coupling* coupling) const {
        return unet(sample, torch::tensor(100.0), text, {.coupling = coupling});
    }
};

double difference(const torch::Tensor& a, const torch::Tensor& b) {
    return (a - b).abs().max().item<double>();
}

struct Idle : Coupling {};

// Notes every site it is asked at.
struct Listener : Coupling {
    std::vector<std::string> attentions;
    std::set<std::string> blocks;

    torch::Tensor attend(const Attention& attention, const torch::Tensor& states) override {
        attentions.push_back(attention.site());
        return Coupling::attend(attention, states);
    }

    bool takes_features(const std::string& /*site*/) const override { return true; }

    torch::Tensor features(const std::string& site, const torch::Tensor& map) override {
        blocks.insert(site);
        return map;
    }
};

// All frames take frame 0's queries and keys, or its values, or what its attention answers.
struct FromFirst : Coupling {
    bool maps = false, values = false, answer = false;

    static torch::Tensor first(const torch::Tensor& x) { return x.narrow(0, 0, 1).expand_as(x); }

    torch::Tensor attend(const Attention& attention, const torch::Tensor& states) override {
        const torch::Tensor mapped = maps ? first(states) : states;
        const torch::Tensor seen = values ? first(states) : states;
        const torch::Tensor out = attention.found(attention.queries(mapped), attention.keys(mapped),
                                                  attention.values(seen));
        return answer ? first(out) : out;
    }
};

// All frames take frame 0's features in one residual block.
struct FirstFeatures : Coupling {
    std::string site;

    bool takes_features(const std::string& asked) const override { return asked == site; }

    torch::Tensor features(const std::string& asked, const torch::Tensor& map) override {
        CHECK(asked == site);
        return map.narrow(0, 0, 1).expand_as(map);
    }
};

}  // namespace

TEST_CASE("a coupling that does nothing changes nothing", "[coupling]") {
    const Fixture fixture;
    Idle idle;
    CHECK(difference(fixture.run(&idle), fixture.run(nullptr)) < 1e-6);
    CHECK(fixture.run(nullptr).equal(fixture.run(nullptr)));
}

TEST_CASE("a coupling is asked at every site by its full weight name", "[coupling]") {
    const Fixture fixture;
    Listener listener;
    CHECK(difference(fixture.run(&listener), fixture.run(nullptr)) < 1e-6);
    const std::string block = ".transformer_blocks.0.attn1";
    CHECK(listener.attentions == std::vector<std::string>{"down_blocks.1.attentions.0" + block,
                                                          "mid_block.attentions.0" + block,
                                                          "up_blocks.0.attentions.0" + block,
                                                          "up_blocks.0.attentions.1" + block});
    CHECK(listener.blocks == std::set<std::string>{"down_blocks.0.resnets.0",
                                                   "down_blocks.1.resnets.0", "mid_block.resnets.0",
                                                   "mid_block.resnets.1", "up_blocks.0.resnets.0",
                                                   "up_blocks.0.resnets.1", "up_blocks.1.resnets.0",
                                                   "up_blocks.1.resnets.1"});
    // Every name is that of weights.
    for (const std::string& site : listener.blocks)
        CHECK(fixture.weights.has(site + ".conv2.weight"));
    for (const std::string& site : listener.attentions)
        CHECK(fixture.weights.has(site + ".to_q.weight"));
}

TEST_CASE("queries, keys and values are chosen separately, and the answer too", "[coupling]") {
    const Fixture fixture;
    const torch::Tensor alone = fixture.run(nullptr);
    FromFirst coupling;
    CHECK(difference(fixture.run(&coupling), alone) < 1e-6);

    const auto [maps, values, answer] = GENERATE(table<bool, bool, bool>(
        {{true, false, false}, {false, true, false}, {false, false, true}, {true, true, false}}));
    coupling.maps = maps;
    coupling.values = values;
    coupling.answer = answer;
    const torch::Tensor coupled = fixture.run(&coupling);
    CHECK(difference(coupled[0], alone[0]) < 1e-6);
    CHECK(difference(coupled[1], alone[1]) > 1e-4);
    if (answer) {
        // With frame 0's queries, keys and values nothing is left to tell the answers apart.
        coupling.maps = coupling.values = true;
        coupling.answer = false;
        CHECK(difference(fixture.run(&coupling), coupled) < 1e-6);
    }
}

TEST_CASE("features are replaced in the blocks that are named, before the shortcut", "[coupling]") {
    const Fixture fixture;
    const torch::Tensor alone = fixture.run(nullptr);
    FirstFeatures coupling;
    CHECK(fixture.run(&coupling).equal(fixture.run(&coupling)));
    CHECK(difference(fixture.run(&coupling), alone) < 1e-6);
    coupling.site = "up_blocks.1.resnets.1";
    const torch::Tensor coupled = fixture.run(&coupling);
    CHECK(difference(coupled[0], alone[0]) < 1e-6);
    CHECK(difference(coupled[1], alone[1]) > 1e-4);
    // The shortcut is still the frame's own.
    CHECK(difference(coupled[1], coupled[0]) > 1e-4);
}

}  // namespace weft
