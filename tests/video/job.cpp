#include "video/job.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "io/files/error.h"

using namespace weft;

namespace {

ModelTraits traits() {
    ModelTraits result;
    result.name = "starter";
    result.size_multiple = 32;
    result.native_size = 512;
    result.source_conditioned = true;
    result.defaults.sampler = "ddim";
    return result;
}

StreamInfo clip(int64_t width, int64_t height) {
    StreamInfo info;
    info.width = width;
    info.height = height;
    info.frames = 100;
    info.frame_rate = Rational(25);
    info.duration = Time(4, 1);
    return info;
}

}  // namespace

TEST_CASE("the model's size keeps the source's shape and its grid") {
    for (const Size source : {Size{1920, 1080}, Size{640, 361}, Size{1080, 1920}, Size{333, 77},
                              Size{512, 288}, Size{4096, 16}, Size{17, 17}}) {
        const auto fit = fit_size(source, {}, traits());
        INFO(source.width << "x" << source.height << " -> " << fit.content.width << "x"
                          << fit.content.height);
        CHECK(std::max(fit.content.width, fit.content.height) <= 512);
        CHECK(fit.padded.width % 32 == 0);
        CHECK(fit.padded.height % 32 == 0);
        CHECK(fit.padded.width - fit.content.width < 32);
        CHECK(fit.padded.height - fit.content.height < 32);
        const double scale = static_cast<double>(fit.content.width) / source.width;
        CHECK(std::abs(fit.content.height - source.height * scale) <= 1.0);
    }
}

TEST_CASE("small sources are enlarged only for models that need their own size") {
    auto model = traits();
    CHECK(fit_size({320, 180}, {}, model).content == Size{320, 180});
    model.source_conditioned = false;
    CHECK(fit_size({320, 180}, {}, model).content == Size{512, 288});
}

TEST_CASE("--size is a box") {
    CHECK(fit_size({1920, 1080}, Size{256, 256}, traits()).content == Size{256, 144});
    CHECK(fit_size({1920, 1080}, Size{1024, 288}, traits()).content == Size{512, 288});
    CHECK(fit_size({320, 180}, Size{640, 640}, traits()).content == Size{640, 360});
}

TEST_CASE("resolve fills every default and a saved plan leads to the same job") {
    for (const Size source : {Size{1920, 1080}, Size{640, 363}, Size{363, 640}, Size{100, 100}}) {
        const auto job = resolve({}, clip(source.width, source.height), traits());
        CHECK(job.plan.steps == 20);
        CHECK(job.plan.guidance == 7.5);
        CHECK(job.plan.noise == "fixed");
        CHECK(job.frames == 100);
        CHECK(job.batch == 1);
        const auto again = resolve(job.plan, clip(source.width, source.height), traits());
        CHECK(again.fit.content == job.fit.content);
        CHECK(again.plan == job.plan);
    }
}

TEST_CASE("from and to choose the frames") {
    Plan plan;
    plan.from = "1";
    plan.to = "60f";
    CHECK(resolve(plan, clip(64, 64), traits()).frames == 35);
    plan.to = "0.5";
    CHECK_THROWS_AS(resolve(plan, clip(64, 64), traits()), UsageError);
    plan.from = "10";
    plan.to = "";
    CHECK_THROWS_WITH(resolve(plan, clip(64, 64), traits()),
                      Catch::Contains("after the clip's end"));
}

TEST_CASE("the memory estimate grows with the batch and the size") {
    auto job = resolve({}, clip(640, 360), traits());
    const auto one = working_bytes(job);
    job.batch = 4;
    CHECK(working_bytes(job) > one);
    CHECK(working_bytes(resolve({}, clip(1920, 1080), traits())) > one);
}
