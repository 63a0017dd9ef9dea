#include "io/media/picture.h"
#include "io/media/reader.h"
#include "tests/cli/clips.h"
#include "tests/cli/program.h"
#include "tests/fixtures/tiny_model.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>

using namespace weft;

namespace {

Finished stylize(const std::vector<std::string>& arguments) {
    std::vector<std::string> all{"stylize"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return weft_program({.arguments = all, .models = tiny_shelf(), .meanwhile = {}});
}

/// Mean change from frame to frame.
double flicker(const std::string& path) {
    const auto frames = frames_of(path);
    double sum = 0;
    for (size_t i = 1; i < frames.size(); ++i) {
        sum += (frames[i].pixels - frames[i - 1].pixels).abs().mean().item<double>();
    }
    return sum / static_cast<double>(frames.size() - 1);
}

}  // namespace

TEST_CASE("a clip is stylized with its times, frames and audio") {
    const TemporaryFolder folder;
    const auto in = make_clip(
        folder / "in.mp4", "testsrc2=s=96x64:r=25:d=0.6",
        {"-f", "lavfi", "-i", "sine=440:d=0.6", "-c:a", "aac", "-pix_fmt", "yuv420p", "-bf", "2"});
    const auto out = (folder / "out.mp4").string();
    const auto done = stylize(
        {in, "-p", "watercolor painting", "-o", out, "--threads", "1", "-v", "--progress", "json"});
    INFO(done.error);
    REQUIRE(done.code == 0);
    CHECK(done.out.empty());
    CHECK(done.error.find(R"("event":"done","frames":15)") != std::string::npos);
    CHECK(done.error.find("denoise") != std::string::npos);
    CHECK(names_in(folder.path()) == std::vector<std::string>{"in.mp4", "out.mp4"});

    CHECK(probe(out, "a:0", "packet=pts_time,data_hash") ==
          probe(in, "a:0", "packet=pts_time,data_hash"));
    const auto before = frames_of(in);
    const auto after = frames_of(out);
    REQUIRE(before.size() == 15);
    REQUIRE(after.size() == 15);
    for (size_t i = 0; i < before.size(); ++i) {
        CHECK(after[i].time == before[i].time);
        CHECK(after[i].duration == before[i].duration);
    }
    CHECK((before[7].pixels - after[7].pixels).abs().mean().item<double>() > 0.02);
}

TEST_CASE("strength 0 keeps the source through a lossless codec") {
    const TemporaryFolder folder;
    const auto in = make_clip(folder / "in.mkv", "testsrc2=s=70x50:r=10:d=0.4",
                              {"-c:v", "ffv1", "-pix_fmt", "gbrp"});
    const auto out = (folder / "out.mkv").string();
    const auto done =
        stylize({in, "-p", "x", "-o", out, "--strength", "0", "--codec", "ffv1", "--threads", "1"});
    INFO(done.error);
    REQUIRE(done.code == 0);
    const auto before = frames_of(in);
    const auto after = frames_of(out);
    REQUIRE(after.size() == before.size());
    for (size_t i = 0; i < before.size(); ++i) {
        CHECK((before[i].pixels - after[i].pixels).abs().max().item<float>() <= 1.01F / 255);
    }
}

TEST_CASE("fixed noise flickers less than independent noise on a static shot") {
    const TemporaryFolder folder;
    const auto still =
        make_clip(folder / "still.mkv", "testsrc2=s=96x64:r=25:d=0.04,loop=loop=5:size=1",
                  {"-c:v", "ffv1", "-pix_fmt", "gbrp"});
    const auto measure = [&](const std::string& noise) {
        const auto out = (folder / (noise + ".mkv")).string();
        const auto done = stylize({still, "-p", "pencil sketch", "-o", out, "--noise", noise,
                                   "--codec", "ffv1", "--threads", "1"});
        INFO(done.error);
        REQUIRE(done.code == 0);
        return flicker(out);
    };
    const double fixed = measure("fixed");
    const double independent = measure("independent");
    INFO("fixed " << fixed << ", independent " << independent);
    CHECK(fixed < 0.001);
    CHECK(independent > 10 * fixed + 0.005);
}

TEST_CASE("--from and --to choose a part, whose first frame comes at 0") {
    const TemporaryFolder folder;
    const auto in = make_clip(folder / "in.mkv", "testsrc2=s=64x48:r=10:d=2",
                              {"-c:v", "ffv1", "-pix_fmt", "gbrp"});
    const auto out = (folder / "out.mkv").string();
    const auto done = stylize({in, "-p", "x", "-o", out, "--strength", "0", "--codec", "ffv1",
                               "--from", "0.5", "--to", "12f", "--threads", "1"});
    INFO(done.error);
    REQUIRE(done.code == 0);
    const auto before = frames_of(in);
    const auto after = frames_of(out);
    REQUIRE(after.size() == 7);
    CHECK(after[0].time.seconds() == Approx(0).margin(0.001));
    CHECK((before[5].pixels - after[0].pixels).abs().max().item<float>() <= 1.01F / 255);
}

TEST_CASE("a picture is stylized to a picture") {
    const TemporaryFolder folder;
    const auto in = make_clip(folder / "in.png", "testsrc2=s=70x50:r=1:d=1", {"-frames:v", "1"});
    const auto out = (folder / "out.png").string();
    const auto done = stylize({in, "-p", "pencil sketch", "-o", out, "--threads", "1"});
    INFO(done.error);
    REQUIRE(done.code == 0);
    CHECK(read_picture(out).sizes() == torch::IntArrayRef({3, 50, 70}));
}

TEST_CASE("a dry run prints a plan that can be run, and writes nothing") {
    const TemporaryFolder folder;
    const auto in = make_clip(folder / "in.mp4", "testsrc2=s=96x64:r=25:d=0.2");
    const auto dry = stylize({in, "-p", "night", "--strength", "0.4", "--dry-run"});
    INFO(dry.error);
    REQUIRE(dry.code == 0);
    CHECK(dry.out.find("mode = 'propagate'\n") != std::string::npos);
    CHECK(dry.out.find("# segment 0: frames 0 to 4\n") != std::string::npos);
    CHECK(dry.out.find("strength = 0.4\n") != std::string::npos);
    CHECK(dry.out.find("# source 96x64, model 64x43 padded to 64x48") != std::string::npos);
    std::ofstream(folder / "plan.toml") << dry.out;
    const auto again = stylize({in, "--plan", (folder / "plan.toml").string(), "--dry-run"});
    CHECK(again.code == 0);
    CHECK(again.out == dry.out);
    const auto saved = (folder / "saved.toml").string();
    CHECK(stylize({in, "-p", "night", "--dry-run", "--save-plan", saved}).code == 0);
    CHECK(std::filesystem::exists(saved));
}

TEST_CASE("bad input gives one clear line, its exit code, and nothing under OUT") {
    const TemporaryFolder folder;
    const auto clip = make_clip(folder / "clip.mp4", "testsrc2=s=64x48:r=25:d=1",
                                {"-f", "lavfi", "-i", "sine=440:d=1", "-g", "5"});
    const auto at = [&](const std::string& name) { return (folder / name).string(); };
    std::ofstream(folder / "text.mp4") << "This is a letter, not a film.\n";
    std::ofstream(folder / "empty.mp4") << "";
    REQUIRE(
        tool({"ffmpeg", "-v", "error", "-i", clip, "-vn", "-c", "copy", at("sound.mp4")}).code ==
        0);
    std::filesystem::copy_file(clip, folder / "cut.mp4");
    REQUIRE(tool({"ffmpeg", "-v", "error", "-i", clip, "-c", "copy", "-movflags", "+faststart",
                  at("whole.mp4")})
                .code == 0);
    std::filesystem::copy_file(folder / "whole.mp4", folder / "half.mp4");
    std::filesystem::resize_file(folder / "half.mp4",
                                 std::filesystem::file_size(folder / "half.mp4") * 2 / 3);
    std::filesystem::resize_file(folder / "cut.mp4",
                                 std::filesystem::file_size(folder / "cut.mp4") / 2);
    write_tiny_model(folder / "broken");
    std::filesystem::resize_file(folder / "broken" / "unet" / "diffusion_pytorch_model.safetensors",
                                 1000);
    std::ofstream(folder / "there.mp4") << "keep me";

    struct Case {
        std::vector<std::string> arguments;
        int code;
        std::string words;
    };

    const std::vector<std::string> ok{"-p", "x", "-o", at("out.mp4")};
    const auto with = [&](std::vector<std::string> start) {
        start.insert(start.end(), ok.begin(), ok.end());
        return start;
    };
    const std::vector<Case> cases{
        {with({at("missing.mp4")}), 1, "missing.mp4"},
        {with({at("text.mp4")}), 1, "text.mp4"},
        {with({at("empty.mp4")}), 1, "empty.mp4"},
        {with({at("sound.mp4")}), 1, "video"},
        {with({at("cut.mp4")}), 1, "cut.mp4"},
        {with({at("half.mp4")}), 1, "half.mp4"},
        {with({folder.path().string()}), 1, ""},
        {{clip, "-p", "x", "-o", at("nowhere/out.mp4")}, 1, "nowhere"},
        {{clip, "-p", "x", "-o", clip, "-y"}, 1, "clip.mp4"},
        {{clip, "-p", "x", "-o", at("there.mp4")}, 1, "-y"},
        {{clip, "-p", "x", "-o", at("out.docx")}, 1, "out.docx"},
        {with({clip, "--model", at("broken")}), 1, "safetensors"},
        {with({clip, "--model", at("missing-model")}), 1, "missing-model"},
        {with({clip, "--noise", "loud"}), 2, "fixed, independent, mixed"},
        {with({clip, "--sampler", "magic"}), 2, "ddim"},
        {with({clip, "--codec", "cinepak"}), 2, "h264"},
        {with({clip, "--strength", "2"}), 2, "from 0 to 1"},
        {with({clip, "--steps", "many"}), 2, "--steps"},
        {with({clip, "--size", "big"}), 2, "WxH"},
        {with({clip, "--device", "abacus"}), 2, "abacus"},
        {with({clip, "--progress", "dance"}), 2, "json"},
        {with({clip, "--from", "0.5", "--to", "0.2"}), 2, "after"},
        {with({clip, "--from", "9"}), 2, "end"},
        {with({clip, "--zoom", "2"}), 2, "--zoom"},
        {{clip, "-o", at("out.mp4")}, 2, "-p"},
        {{clip, "-p", "x"}, 2, "-o"},
        {{clip, "-p", "x", "-o", at("out.png")}, 2, "picture"},
    };
    const auto before = names_in(folder.path());
    for (const auto& [arguments, code, words] : cases) {
        auto all = arguments;
        all.insert(all.end(), {"--threads", "1"});
        if (words != "json") {
            all.insert(all.end(), {"--progress", "none"});
        }
        const auto done = stylize(all);
        std::string command;
        for (const auto& argument : arguments) {
            command += argument + " ";
        }
        INFO(command << "\n" << done.error);
        CHECK(done.code == code);
        CHECK(done.out.empty());
        CHECK(done.error_lines() == 1);
        CHECK(std::count(done.error.begin(), done.error.end(), '\n') == 1);
        CHECK(done.error.find(words) != std::string::npos);
        CHECK(names_in(folder.path()) == before);
    }
    std::ifstream kept(folder / "there.mp4");
    CHECK(std::string(std::istreambuf_iterator<char>(kept), {}) == "keep me");
}

TEST_CASE("several wrong options are all reported") {
    const auto done = stylize(
        {"in.mp4", "-p", "x", "-o", "o.mp4", "--strength", "7", "--noise", "loud", "--size", "?"});
    CHECK(done.code == 2);
    CHECK(done.error_lines() == 3);
}

TEST_CASE("Ctrl-C ends a run with 130 and leaves nothing but finished work") {
    const TemporaryFolder folder;
    const auto in = make_clip(folder / "in.mp4", "testsrc2=s=96x64:r=25:d=20");
    const auto out = folder / "out.mp4";
    const auto interrupted = [&](const std::filesystem::path& awaited) {
        bool sent = false;
        auto done =
            weft_program({.arguments = {"stylize", in, "-p", "x", "-o", out.string(), "--threads",
                                        "1", "--steps", "50", "--segment-frames", "16"},
                          .models = tiny_shelf(),
                          .meanwhile = [&](int pid) {
                              if (!sent && std::filesystem::exists(awaited)) {
                                  sent = kill(pid, SIGINT) == 0;
                              }
                          }});
        INFO(done.error);
        CHECK(sent);
        CHECK(done.code == 130);
        CHECK(done.error.find("interrupted") != std::string::npos);
        return done;
    };
    interrupted(folder / "out.mp4.weft" / "lock");
    CHECK(names_in(folder.path()) == std::vector<std::string>{"in.mp4"});
    const auto done = interrupted(folder / "out.mp4.weft" / "segment-000001.weftseg");
    CHECK(done.error.find("goes on") != std::string::npos);
    CHECK(names_in(folder.path()) == std::vector<std::string>{"in.mp4", "out.mp4.weft"});
}

namespace {

/// Peak memory of an edit of `frames` frames of a clip of small pictures, which the model sees as
/// thumbnails.
double peak_bytes(const TemporaryFolder& folder, int frames, const std::string& size) {
    const auto name = std::to_string(frames);
    const auto in = make_clip(folder / (name + ".mp4"),
                              "testsrc2=s=" + size + ":r=25:d=" + std::to_string(frames / 25.0),
                              {"-preset", "ultrafast"});
    const auto done =
        stylize({in, "-p", "x", "-o", (folder / (name + "-out.mp4")).string(), "--threads", "1",
                 "--size", "32x32", "--steps", "1", "--preset", "ultrafast", "--key-every", "12"});
    INFO(done.error);
    REQUIRE(done.code == 0);
    return static_cast<double>(done.peak_bytes);
}

}  // namespace

TEST_CASE("deflicker steadies a clip and keeps the rest") {
    const TemporaryFolder folder;
    const auto in =
        make_clip(folder / "in.mkv", "testsrc2=s=96x64:r=25:d=0.04,loop=loop=11:size=1",
                  {"-vf", "geq=lum='lum(X,Y)*(0.9+0.1*mod(N,2))':cb='cb(X,Y)':cr='cr(X,Y)'", "-c:v",
                   "ffv1", "-pix_fmt", "yuv444p"});
    const auto out = (folder / "out.mkv").string();
    const auto steady = [&](const std::vector<std::string>& more) {
        std::vector<std::string> arguments{"deflicker", in, "-o", out, "-y", "--codec", "ffv1"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return weft_program({.arguments = arguments, .models = {}, .meanwhile = {}});
    };
    const auto done = steady({});
    INFO(done.error);
    REQUIRE(done.code == 0);
    CHECK(frames_of(out).size() == frames_of(in).size());
    CHECK(flicker(out) < 0.65 * flicker(in));
    REQUIRE(steady({"--amount", "0"}).code == 0);
    CHECK(flicker(out) == Approx(flicker(in)).epsilon(0.01));
    CHECK(steady({"--amount", "2"}).code == 2);
}

TEST_CASE("memory does not depend on the clip's length") {
    const TemporaryFolder folder;
    // By 240 frames the queues, the encoder's look-ahead and the heap's gaps are full; beside the
    // tiny model they weigh more than beside a real one. From there on nothing may grow.
    const double small = peak_bytes(folder, 240, "640x360");
    const double large = peak_bytes(folder, 600, "640x360");
    INFO("240 frames: " << small / 1e6 << " MB, 600 frames: " << large / 1e6 << " MB");
    CHECK(large < 1.05 * small);
}

TEST_CASE("2000 frames take the memory of 200", "[.][slow]") {
    const TemporaryFolder folder;
    const double small = peak_bytes(folder, 200, "160x96");
    const double large = peak_bytes(folder, 2000, "160x96");
    INFO("200 frames: " << small / 1e6 << " MB, 2,000 frames: " << large / 1e6 << " MB");
    CHECK(large < 1.05 * small);
}

namespace {

/// A mask of a clip of 96x64: white where x > 48.
std::string right_half(const TemporaryFolder& folder) {
    return make_clip(folder / "mask.png",
                     "color=black:s=96x64,drawbox=x=48:w=48:color=white:t=fill",
                     {"-frames:v", "1"});
}

double mean_change(const torch::Tensor& a, const torch::Tensor& b) {
    return (a - b).abs().mean().item<double>();
}

}  // namespace

TEST_CASE("a mask keeps the rest of the clip to the bit, in every mode") {
    const TemporaryFolder folder;
    const auto in = make_clip(folder / "in.mkv", "testsrc2=s=96x64:r=10:d=0.7",
                              {"-c:v", "ffv1", "-pix_fmt", "gbrp"});
    const auto mask = right_half(folder);
    const auto before = frames_of(in);
    for (const char* mode : {"frames", "full", "tokens", "propagate"}) {
        INFO(mode);
        const auto out = (folder / (std::string(mode) + ".mkv")).string();
        const auto done = stylize({in, "-p", "pencil sketch", "-o", out, "--mask", mask, "--mode",
                                   mode, "--codec", "ffv1", "--threads", "1", "--key-every", "3"});
        INFO(done.error);
        REQUIRE(done.code == 0);
        const auto after = frames_of(out);
        REQUIRE(after.size() == before.size());
        for (size_t i = 0; i < before.size(); ++i) {
            CHECK(torch::equal(before[i].pixels.slice(2, 0, 48), after[i].pixels.slice(2, 0, 48)));
            CHECK(mean_change(before[i].pixels.slice(2, 48), after[i].pixels.slice(2, 48)) > 0.01);
        }
    }
}

TEST_CASE("a mask that moves says where each frame is edited") {
    const TemporaryFolder folder;
    const auto in = make_clip(folder / "in.mkv", "testsrc2=s=96x64:r=10:d=0.6",
                              {"-c:v", "ffv1", "-pix_fmt", "gbrp"});
    // A bar of 16 pixels that moves on by 16 a frame; overlay counts frames from 1.
    const auto mask =
        make_clip(folder / "mask.mp4",
                  "color=black:s=96x64:r=10:d=0.6[b];color=white:s=16x64:r=10:d=0.6[w];"
                  "[b][w]overlay=x=16*(n-1):y=0",
                  {"-crf", "1", "-pix_fmt", "yuv444p"});
    const auto out = (folder / "out.mkv").string();
    const auto done = stylize({in, "-p", "pencil sketch", "-o", out, "--mask", mask, "--codec",
                               "ffv1", "--threads", "1", "--key-every", "2"});
    INFO(done.error);
    REQUIRE(done.code == 0);
    const auto before = frames_of(in);
    const auto after = frames_of(out);
    REQUIRE(after.size() == 6);
    for (int64_t i = 0; i < 6; ++i) {
        INFO(i);
        const auto change =
            (before[static_cast<size_t>(i)].pixels - after[static_cast<size_t>(i)].pixels)
                .abs()
                .sum(0);
        const auto bar = change.slice(1, 16 * i, 16 * i + 16);
        CHECK(bar.mean().item<double>() > 0.01);
        // 4:4:4 at this quality has no pixel of the bar's edge in the next one.
        CHECK(change.slice(1, 0, std::max<int64_t>(0, 16 * i - 1)).sum().item<double>() == 0);
        CHECK(change.slice(1, 16 * i + 17).sum().item<double>() == 0);
    }
}

TEST_CASE("a mask that cannot serve is refused before the work, with nothing left") {
    const TemporaryFolder folder;
    const auto in = make_clip(folder / "in.mp4", "testsrc2=s=96x64:r=10:d=0.6");
    const auto square = make_clip(folder / "square.png", "color=white:s=64x64", {"-frames:v", "1"});
    const auto brief = make_clip(folder / "brief.mkv", "color=white:s=96x64:r=10:d=0.4");
    const auto before = names_in(folder.path());
    const auto out = (folder / "out.mp4").string();
    const auto refused = [&](const std::vector<std::string>& more, const char* why) {
        std::vector<std::string> arguments{in, "-p", "x", "-o", out};
        arguments.insert(arguments.end(), more.begin(), more.end());
        const auto done = stylize(arguments);
        INFO(done.error);
        CHECK(done.code != 0);
        CHECK(done.error_lines() == 1);
        CHECK(done.error.find(why) != std::string::npos);
        CHECK(names_in(folder.path()) == before);
    };
    refused({"--mask", square}, "another shape than the clip's 96x64");
    refused({"--mask", brief}, "has no mask for frame 5");
    refused({"--mask", (folder / "none.png").string()}, "none.png");
    refused({"--mask", "-"}, "is a pipe");
    refused({"--mask-feather", "3"}, "name one with mask");
    const auto onto = stylize({in, "-p", "x", "-o", square, "--mask", square, "-y"});
    CHECK(onto.code != 0);
    CHECK(onto.error.find("is the mask itself") != std::string::npos);
}

TEST_CASE("segments made under another mask are made again") {
    const TemporaryFolder folder;
    const auto in = make_clip(folder / "in.mp4", "testsrc2=s=96x64:r=10:d=0.8");
    const auto mask = right_half(folder);
    const auto out = (folder / "out.mp4").string();
    const std::vector<std::string> first{
        in, "-p", "x", "-o", out, "--mask", mask, "--segment-frames", "4", "--key-every", "4"};
    auto part = first;
    part.insert(part.end(), {"--segments", "0"});
    REQUIRE(stylize(part).code == 0);
    CHECK(stylize(part).error.find("segments 0 are there") != std::string::npos);
    // Another picture under the same name.
    make_clip(folder / "mask.png", "color=white:s=96x64", {"-frames:v", "1"});
    const auto again = stylize(part);
    INFO(again.error);
    CHECK(again.code == 0);
    CHECK(again.error.find("segments 0 of an earlier run were made from something else") !=
          std::string::npos);
}
