#include "video/analysis.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <fstream>

#include "io/files/error.h"
#include "tests/fixtures/tiny_model.h"
#include "tests/video/drawn_clip.h"
#include "video/analysis_store.h"

using namespace weft;
using weft::tests::DrawnClip;
using weft::tests::landscape;
using weft::tests::pan;

namespace {

constexpr int64_t first_index = 5;
constexpr int64_t cut = 40;
constexpr int64_t frames = 70;  // more than two files of rows

/// A pan, a cut, another pan; numbered from 5 as a part of a longer clip is.
std::unique_ptr<FrameSource> two_shots(const std::filesystem::path& path) {
    auto clip = std::make_unique<DrawnClip>(
        frames,
        [a = landscape(1), b = landscape(2)](int64_t frame) {
            return frame < cut ? pan(a, frame) : pan(b, frame - cut);
        },
        path);
    clip->first_index = first_index;
    return clip;
}

std::filesystem::path source_file(const TemporaryFolder& folder, const std::string& content) {
    const auto path = folder / "clip.bin";
    std::ofstream(path) << content;
    return path;
}

}  // namespace

TEST_CASE("analysis finds shots and motion and keeps them") {
    const TemporaryFolder folder;
    const auto path = source_file(folder, "one");
    int64_t seen = 0;
    AnalysisOptions options{.cache = folder / "cache",
                            .on_frame = [&](int64_t count) { seen = count; }};
    const auto found = analyse(two_shots(path), options);
    CHECK(seen == frames);
    CHECK(found->frames() == frames);
    CHECK(found->shots() == std::vector<int64_t>{first_index, first_index + cut});
    CHECK(found->shot_start(first_index) == first_index);
    CHECK(found->shot_start(first_index + cut - 1) == first_index);
    CHECK(found->shot_start(first_index + cut + 3) == first_index + cut);

    // The camera goes 2 px to the right: what is at p was at p + 2, one pixel of the half-size
    // grid.
    for (const int64_t frame : {1, 33, 69}) {
        const auto motion = found->motion_into(first_index + frame);
        CHECK(motion.backward.offset.sizes() == torch::IntArrayRef({1, 2, 48, 64}));
        const auto inner = motion.backward.offset.slice(2, 8, -8).slice(3, 8, -8);
        CHECK(inner.select(1, 0).mean().item<double>() == Approx(1).margin(0.1));
        CHECK(inner.select(1, 1).mean().item<double>() == Approx(0).margin(0.1));
        CHECK(motion.forward.offset.select(1, 0).mean().item<double>() < -0.8);
        CHECK(found->valid_share(first_index + frame) > 0.6);
    }
    CHECK(found->valid_share(first_index + cut) < 0.3);
    CHECK(found->valid_share(first_index) == 0);
    CHECK_THROWS(found->motion_into(first_index));
    CHECK_THROWS(found->motion_into(first_index + frames));

    // The second time nothing is read; other settings and other content are analysed anew.
    seen = 0;
    CHECK(analyse(two_shots(path), options)->shots() == found->shots());
    CHECK(seen == 0);
    options.longer_side = 64;
    CHECK(analyse(two_shots(path), options)->motion_into(first_index + 1).backward.width() == 32);
    CHECK(seen == frames);
    seen = 0;
    options.longer_side = 512;
    source_file(folder, "two");
    analyse(two_shots(path), options);
    CHECK(seen == frames);
}

TEST_CASE("an analysis that is stopped or fails leaves nothing") {
    const TemporaryFolder folder;
    const auto path = source_file(folder, "one");
    std::atomic<bool> stop{false};
    const AnalysisOptions options{.cache = folder / "cache",
                                  .stop = &stop,
                                  .on_frame = [&](int64_t count) { stop = count == 40; }};
    CHECK_THROWS_AS(analyse(two_shots(path), options), Interrupted);
    CHECK(std::filesystem::is_empty(folder / "cache"));
    const auto nothing = [](int64_t) { return torch::zeros({3, 16, 16}); };
    CHECK_THROWS_AS(
        analyse(std::make_unique<DrawnClip>(0, nothing, path), {.cache = folder / "cache"}), Error);
    CHECK(std::filesystem::is_empty(folder / "cache"));
    std::ofstream(folder / "file") << "in the way";
    CHECK_THROWS_WITH(analyse(two_shots(path), {.cache = folder / "file"}),
                      Catch::Contains("XDG_CACHE_HOME"));
}

TEST_CASE("a cache forgets what was used longest ago") {
    const TemporaryFolder folder;
    const auto now = std::filesystem::file_time_type::clock::now();
    for (int i = 0; i < 4; ++i) {
        const auto entry = folder / std::to_string(i);
        std::filesystem::create_directory(entry);
        std::ofstream(entry / "data") << std::string(1000, 'x');
        std::filesystem::last_write_time(entry, now - std::chrono::hours(i));
    }
    trim_cache(folder.path(), 2500);
    CHECK(std::filesystem::exists(folder / "0"));
    CHECK(std::filesystem::exists(folder / "1"));
    CHECK_FALSE(std::filesystem::exists(folder / "2"));
    CHECK_FALSE(std::filesystem::exists(folder / "3"));
    trim_cache(folder.path(), 10);
    CHECK(std::filesystem::exists(folder / "0"));
}

TEST_CASE("a job's motion lies on its own grid") {
    const TemporaryFolder folder;
    const auto found = analyse(two_shots(source_file(folder, "one")), {.cache = folder / "cache"});
    // 128x96 is edited at 192x144 and padded to 200x160.
    const JobMotion motion(found, {{128, 96}, {192, 144}, {200, 160}});
    CHECK(motion.shot_start(first_index + 41) == first_index + cut);
    const auto pair = motion.into(first_index + 1, 40, 50);
    CHECK(pair.backward.offset.sizes() == torch::IntArrayRef({1, 2, 40, 50}));
    // 2 source px are 3 edited px, which are 3/4 of a cell of 4.
    const auto inner = pair.backward.offset.slice(2, 6, 30).slice(3, 6, 40);
    CHECK(inner.select(1, 0).mean().item<double>() == Approx(0.75).margin(0.05));
}

TEST_CASE("noise that moves follows an analysed clip") {
    const TemporaryFolder folder;
    const auto found = analyse(two_shots(source_file(folder, "one")), {.cache = folder / "cache"});
    Job job;
    job.fit = {{128, 96}, {256, 192}, {256, 192}};
    job.noise = {.kind = find_noise_kind("warped"), .seed = 4};
    follow_motion(job, found);
    const std::vector<int64_t> wanted{first_index, first_index + 4, first_index + cut};
    const auto noise = job.noise.draw(NoisePurpose::start, 0, wanted, {4, 24, 32});
    // Four frames of 4 px at the edited size are two cells of 8.
    const auto likeness = [&](const torch::Tensor& a, const torch::Tensor& b) {
        return (a * b).mean().item<double>();
    };
    const auto moved = likeness(noise[1].slice(2, 4, 26), noise[0].slice(2, 6, 28));
    CHECK(moved > 0.5);
    CHECK(std::abs(likeness(noise[1].slice(2, 4, 26), noise[0].slice(2, 4, 26))) < 0.2);
    CHECK(std::abs(likeness(noise[2], noise[0])) < 0.1);
    CHECK(noise[1].var().item<double>() == Approx(1).margin(0.1));
}
