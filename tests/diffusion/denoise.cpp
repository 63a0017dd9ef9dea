#include "diffusion/denoise.h"

#include <catch2/catch.hpp>

#include "io/files/error.h"

using namespace weft;

namespace {

// A network that is linear in each of its inputs, and keeps the size of its batch.
struct Recorder {
    std::vector<int64_t> batches;

    Network network() {
        return [this](const torch::Tensor& input, double, const TextCondition& text) {
            batches.push_back(input.size(0));
            torch::Tensor out = input.slice(1, 0, 4) + text.states.mean({1, 2}).view({-1, 1, 1, 1});
            if (input.size(1) > 4)
                out = out + 10 * input.slice(1, 4).square();
            return out;
        };
    }
};

const torch::Tensor prompt = torch::full({1, 77, 8}, 3.0);
const torch::Tensor negative = torch::full({1, 77, 8}, 1.0);
const torch::Tensor x = torch::linspace(-1, 1, 3 * 4 * 2 * 2).view({3, 4, 2, 2});
const torch::Tensor source = torch::linspace(0, 1, 3 * 4 * 2 * 2).view({3, 4, 2, 2});
constexpr NoiseLevel level{.alpha = 0.6, .sigma = 0.8, .t = 500};

}  // namespace

TEST_CASE("text guidance runs two branches as one batch, one where it is off") {
    Recorder recorder;
    auto denoise = [&](double guidance) {
        return text_guided(recorder.network(), Prediction::sample,
                           {.text = {prompt},
                            .negative = {negative},
                            .source = {},
                            .guidance = guidance,
                            .image_guidance = 1})(x, level);
    };
    CHECK(torch::allclose(denoise(7), x + 1 + 7 * (3 - 1)));
    CHECK(torch::allclose(denoise(1), x + 3));
    CHECK(torch::allclose(denoise(0), x + 1));
    CHECK(recorder.batches == std::vector<int64_t>{6, 3, 3});
}

TEST_CASE("source guidance follows InstructPix2Pix and drops idle branches") {
    Recorder recorder;
    auto denoise = [&](double guidance, double image_guidance, const torch::Tensor& given) {
        return source_guided(recorder.network(), Prediction::sample,
                             {.text = {prompt},
                              .negative = {negative},
                              .source = given,
                              .guidance = guidance,
                              .image_guidance = image_guidance})(x, level);
    };
    const torch::Tensor seen = 10 * source.square();
    // none + s (image - none) + g (text - image), eq. 3 of arXiv 2211.09800.
    CHECK(torch::allclose(denoise(7, 1.5, source), x + 1 + 1.5 * seen + 7 * 2));
    CHECK(torch::allclose(denoise(7, 1, source), x + 1 + seen + 7 * 2));
    CHECK(torch::allclose(denoise(1, 1, source), x + 3 + seen));
    CHECK(torch::allclose(denoise(2, 2, source), x + 1 + 2 * (2 + seen)));
    CHECK(torch::allclose(denoise(4, 1.5, {}), x + 1 + 4 * 2));
    CHECK(recorder.batches == std::vector<int64_t>{9, 6, 3, 6, 6});
}

TEST_CASE("one conditioning serves all frames, or each its own") {
    Recorder recorder;
    const torch::Tensor own = torch::stack({prompt[0], negative[0], prompt[0]});
    const torch::Tensor out = text_guided(
        recorder.network(), Prediction::sample,
        {.text = {own}, .negative = {}, .source = {}, .guidance = 1, .image_guidance = 1})(x,
                                                                                           level);
    CHECK(torch::allclose(out[1], x[1] + 1));
    CHECK(torch::allclose(out[2], x[2] + 3));
}

TEST_CASE("guidance rescale brings the answer back to the spread of the prompt's") {
    // The prompt's answer is twice the negative one's, so that guidance blows it up.
    const Network network = [](const torch::Tensor& input, double, const TextCondition& text) {
        return input * text.states.mean({1, 2}).view({-1, 1, 1, 1});
    };
    const auto guided = [&](double guidance, double rescale) {
        return text_guided(network, Prediction::sample,
                           {.text = {torch::full({1, 77, 8}, 2.0)},
                            .negative = {negative},
                            .guidance = guidance,
                            .guidance_rescale = rescale})(x, level);
    };
    CHECK(torch::allclose(guided(6, 0), x * 7));
    CHECK(torch::allclose(guided(6, 1), x * 2));
    CHECK(torch::allclose(guided(6, 0.7), x * (0.7 * 2 + 0.3 * 7)));
    CHECK(torch::allclose(guided(1, 0.7), x * 2));
}

TEST_CASE("guidance acts in its interval only, and costs only there") {
    Recorder recorder;
    const auto text = [&](const GuidanceInterval& interval, const NoiseLevel& at) {
        return text_guided(recorder.network(), Prediction::sample,
                           {.text = {prompt},
                            .negative = {negative},
                            .guidance = 7,
                            .guidance_rescale = 0.5,
                            .interval = interval})(x, at);
    };
    const auto edit = [&](const GuidanceInterval& interval) {
        return source_guided(recorder.network(), Prediction::sample,
                             {.text = {prompt},
                              .negative = {negative},
                              .source = source,
                              .guidance = 7,
                              .image_guidance = 1.5,
                              .interval = interval})(x, level);
    };
    const GuidanceInterval whole, none{1, 0}, high{2, 5}, low{0, 1}, here{4.0 / 3 - 1e-9, 5};
    const NoiseLevel pure{.alpha = 0, .sigma = 1, .t = 999};
    const torch::Tensor all = text(whole, level);
    CHECK(text(here, level).equal(all));
    CHECK(torch::allclose(text(whole, pure), all));
    CHECK(recorder.batches == std::vector<int64_t>{6, 6, 6});
    recorder.batches.clear();
    CHECK(text(none, level).equal(x + 3));
    CHECK(text(high, level).equal(x + 3));
    CHECK(text(low, level).equal(x + 3));
    CHECK(text(high, pure).equal(x + 3));
    CHECK(recorder.batches == std::vector<int64_t>{3, 3, 3, 3});
    recorder.batches.clear();
    const torch::Tensor seen = 10 * source.square();
    CHECK(torch::allclose(edit(here), x + 1 + 1.5 * seen + 7 * 2));
    CHECK(torch::allclose(edit(none), x + 3 + seen));
    CHECK(recorder.batches == std::vector<int64_t>{9, 3});
}

TEST_CASE("an interval is read as LO..HI") {
    CHECK(parse_guidance_interval("0.28..5.42") == GuidanceInterval{0.28, 5.42});
    CHECK(parse_guidance_interval("0.3..").high == std::numeric_limits<double>::infinity());
    CHECK(parse_guidance_interval("..4") == GuidanceInterval{0, 4});
    for (const std::string text : {"", "3", "5..3", "-1..2", "a..b", "1..2..3", "nan..1"})
        CHECK_THROWS_AS(parse_guidance_interval(text), UsageError);
}
