#include "io/media/picture.h"
#include "tests/cli/program.h"
#include "tests/fixtures/tiny_model.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace weft;

namespace {

Finished weft_with(const TemporaryFolder& models, const std::vector<std::string>& arguments) {
    return weft_program({.arguments = arguments, .models = models.path(), .meanwhile = {}});
}

int64_t lines_of(const std::string& text) {
    return std::count(text.begin(), text.end(), '\n');
}

}  // namespace

TEST_CASE("help goes to stdout, fits two screens and names the words and models") {
    const TemporaryFolder models;
    write_tiny_model(models / "starter");
    const auto help = weft_with(models, {"stylize", "-h"});
    CHECK(help.code == 0);
    CHECK(help.error.empty());
    CHECK(help.out.find("pencil sketch") != std::string::npos);
    CHECK(help.out.find("--model") != std::string::npos);
    CHECK(help.out.find("Stable Diffusion") != std::string::npos);
    CHECK(lines_of(help.out) <= 66);
    for (const char* option :
         {"--strength", "--guidance", "--steps", "--sampler", "--size", "--noise", "--from", "--to",
          "--codec", "--crf", "--plan", "--dry-run", "--overwrite", "--progress", "--device",
          "--dtype", "--threads"}) {
        INFO(option);
        CHECK(help.out.find(option) != std::string::npos);
    }
}

TEST_CASE("rare options are left to --help-all") {
    const TemporaryFolder models;
    for (const char* command : {"stylize", "generate"}) {
        const auto help = weft_with(models, {command, "-h"});
        const auto all = weft_with(models, {command, "--help-all"});
        CHECK(all.code == 0);
        CHECK(help.out.find("--help-all") != std::string::npos);
        for (const char* option :
             {"--eta", "--cache-every", "--merge-tokens", "--encoder-opts", "--max-pixels"}) {
            INFO(option);
            CHECK(help.out.find(option) == std::string::npos);
            CHECK(all.out.find(option) != std::string::npos);
        }
    }
}

TEST_CASE("version, unknown commands and no command") {
    const TemporaryFolder models;
    const auto version = weft_with(models, {"--version"});
    CHECK(version.code == 0);
    CHECK(version.out.rfind("weft ", 0) == 0);
    const auto unknown = weft_with(models, {"transmogrify"});
    CHECK(unknown.code == 2);
    CHECK(unknown.error.find("stylize") != std::string::npos);
    CHECK(weft_with(models, {}).code == 2);
}

TEST_CASE("doctor says what there is") {
    const TemporaryFolder models;
    const auto without = weft_with(models, {"doctor", "--json"});
    REQUIRE(without.code == 0);
    write_tiny_model(models / "starter");
    const auto with = weft_with(models, {"doctor", "--json"});
    REQUIRE(with.code == 0);
    const auto report = nlohmann::json::parse(with.out);
    CHECK(report["libtorch"].get<std::string>().rfind("2.", 0) == 0);
    CHECK(report["threads"].get<int>() >= 1);
    CHECK(report["codecs"].size() >= 2);
    CHECK(report["starter"]["found"] == true);
    CHECK(report["starter"]["looked_in"][0] == models.path().string());
    CHECK(weft_with(models, {"doctor"}).out.find("libtorch: 2.") != std::string::npos);
}

TEST_CASE("inspect tells a model, a tensor file and a clip apart") {
    const TemporaryFolder models;
    write_tiny_model(models / "starter");
    const auto folder = (models / "starter").string();
    const auto model = weft_with(models, {"inspect", "--json", folder});
    INFO(model.error);
    REQUIRE(model.code == 0);
    const auto report = nlohmann::json::parse(model.out);
    CHECK(report["kind"] == "model");
    CHECK(report["source_conditioned"] == true);
    CHECK(report["prediction"] == "v");
    CHECK(report["components"]["unet"]["class"] == "UNet2DConditionModel");
    CHECK(report["components"]["unet"]["dtypes"][0] == "F32");
    CHECK(report["components"]["vae"]["class"] == "PatchAutoencoder");
    CHECK(report["unmatched"].empty());
    CHECK(report["words"][1] == "pencil sketch");

    const auto tensors = weft_with(
        models, {"inspect", "--json", folder + "/unet/diffusion_pytorch_model.safetensors"});
    REQUIRE(tensors.code == 0);
    CHECK(nlohmann::json::parse(tensors.out)["tensors"] == report["components"]["unet"]["tensors"]);

    const auto clip = (models / "clip.mkv").string();
    REQUIRE(tool({"ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1", clip})
                .code == 0);
    const auto both = weft_with(models, {"inspect", "--json", clip, folder});
    REQUIRE(both.code == 0);
    const auto list = nlohmann::json::parse(both.out);
    CHECK(list[0]["kind"] == "media");
    CHECK(list[0]["video"]["width"] == 64);
    CHECK(list[0]["video"]["frame_rate"] == 25.0);
    CHECK(weft_with(models, {"inspect", clip}).out.find("width: 64") != std::string::npos);
    CHECK(weft_with(models, {"inspect", (models / "nothing").string()}).code == 1);
}

#ifndef WEFT_SANITIZED
TEST_CASE("threads that wait for others let the core go, unless the user says otherwise") {
    const auto shown = [](const std::string& environment) {
        return tool({"bash", "-c",
                     "env -u GOMP_SPINCOUNT -u OMP_WAIT_POLICY OMP_DISPLAY_ENV=verbose " +
                         environment + " " WEFT_BINARY_DIR "/bin/weft 'two words' --version"})
            .error;
    };
    CHECK(shown("").find("GOMP_SPINCOUNT = '1000'") != std::string::npos);
    CHECK(shown("").find("'two words'") != std::string::npos);
    CHECK(shown("GOMP_SPINCOUNT=77").find("GOMP_SPINCOUNT = '77'") != std::string::npos);
    CHECK(shown("OMP_WAIT_POLICY=active").find("WAIT_POLICY = 'ACTIVE'") != std::string::npos);
}
#endif

TEST_CASE("generate draws one picture") {
    const TemporaryFolder models;
    write_tiny_model(models / "starter");
    const auto out = (models / "picture.png").string();
    const auto done = weft_with(models, {"generate", "-p", "pencil sketch", "-o", out, "--size",
                                         "80x48", "--threads", "1"});
    INFO(done.error);
    REQUIRE(done.code == 0);
    CHECK(read_picture(out).sizes() == torch::IntArrayRef({3, 48, 80}));
    CHECK(weft_with(models, {"generate", "-p", "x", "-o", out}).code == 1);
    const auto clip = weft_with(models, {"generate", "-p", "x", "-o", "o.mp4", "--frames", "8"});
    CHECK(clip.code == 2);
    CHECK(clip.error.find("--frames") != std::string::npos);
}
