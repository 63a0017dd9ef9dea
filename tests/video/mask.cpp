#include "video/mask.h"

#include <catch2/catch.hpp>

#include "io/files/error.h"
#include "io/media/picture.h"
#include "io/media/writer.h"
#include "tests/fixtures/tiny_model.h"
#include "tests/video/drawn_clip.h"
#include "video/clip.h"

using namespace weft;
using weft::tests::DrawnClip;

namespace {

/// A grey picture, [3, h, w].
torch::Tensor grey(double value, int64_t height = 32, int64_t width = 48) {
    return torch::full({3, height, width}, value);
}

/// Writes frames of one grey each: frame i shows i / 10.
std::filesystem::path counting(const std::filesystem::path& path, int64_t frames, Rational rate) {
    StreamInfo info;
    info.width = 48;
    info.height = 32;
    info.frame_rate = rate;
    info.time_base = rate.inverse();
    const auto sink =
        create_video(path, info, {.codec = path.extension() == ".mkv" ? "ffv1" : "png"});
    for (int64_t i = 0; i < frames; ++i) {
        Frame frame;
        frame.pixels = grey(0.1 * static_cast<double>(i));
        frame.index = i;
        frame.time = Time::of(i, info.time_base);
        frame.duration = Time(info.time_base);
        sink->put(frame);
    }
    sink->finish();
    return path;
}

std::unique_ptr<FrameSource> clip(int64_t frames) {
    return std::make_unique<DrawnClip>(frames, [](int64_t) { return grey(0.5); });
}

/// The mean of each frame's mask.
std::vector<double> masks_of(FrameSource& source) {
    std::vector<double> found;
    while (auto frame = source.next()) {
        REQUIRE(frame->mask.sizes() == torch::IntArrayRef({1, 32, 48}));
        found.push_back(frame->mask.mean().item<double>());
    }
    return found;
}

/// The mask serves this many frames of a clip and no more.
void check_ends(const MaskSource& mask, int64_t frames) {
    const auto source = masked(clip(frames + 1), mask);
    for (int64_t i = 0; i < frames; ++i) {
        source->next();
    }
    CHECK_THROWS_WITH(source->next(),
                      Catch::Contains("has no mask for frame " + std::to_string(frames)));
}

/// What a mask of this grey is: 2 % at either end are the end.
double expanded(double value) {
    return std::clamp((value - 0.02) / 0.96, 0.0, 1.0);
}

void check_near(const std::vector<double>& found, const std::vector<double>& expected) {
    REQUIRE(found.size() == expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
        INFO(i);
        CHECK(std::abs(found[i] - expanded(expected[i])) < 0.006);
    }
}

}  // namespace

TEST_CASE("a clip without a mask is as it was") {
    auto source = clip(2);
    const auto* before = source.get();
    const auto same = masked(std::move(source), {});
    CHECK(same.get() == before);
}

TEST_CASE("a picture is every frame's mask; near black is black, near white white") {
    const TemporaryFolder folder;
    auto picture = grey(0.015);
    picture.slice(2, 16, 32).fill_(0.5);
    picture.slice(2, 32).fill_(0.985);
    write_picture(folder / "mask.png", picture);
    const auto source = masked(clip(4), {.path = folder / "mask.png"});
    int64_t count = 0;
    while (auto frame = source->next()) {
        ++count;
        CHECK(frame->mask.slice(2, 0, 16).eq(0).all().item<bool>());
        CHECK(std::abs(frame->mask.slice(2, 16, 32).mean().item<double>() - 0.5) < 0.01);
        CHECK(frame->mask.slice(2, 32).eq(1).all().item<bool>());
    }
    CHECK(count == 4);
}

TEST_CASE("what is transparent is black, and a larger mask is scaled") {
    const TemporaryFolder folder;
    auto picture = torch::ones({4, 64, 96});
    picture[3].slice(1, 0, 48).fill_(0);
    write_picture(folder / "mask.png", picture);
    const auto frame = masked(clip(1), {.path = folder / "mask.png"})->next();
    CHECK(frame->mask.sizes() == torch::IntArrayRef({1, 32, 48}));
    CHECK(frame->mask.slice(2, 0, 23).max().item<double>() == 0);
    CHECK(frame->mask.slice(2, 25).min().item<double>() == 1);
}

TEST_CASE("a feathered edge falls evenly around where it was") {
    const TemporaryFolder folder;
    auto picture = grey(0);
    picture.slice(2, 24).fill_(1);
    write_picture(folder / "mask.png", picture);
    for (const double feather : {4.0, 10.0}) {
        const auto frame =
            masked(clip(1), {.path = folder / "mask.png", .feather_px = feather})->next();
        const auto row = frame->mask[0][16];
        CHECK((row.diff() >= -1e-6).all().item<bool>());
        CHECK(std::abs((row + row.flip(0) - 1).abs().max().item<double>()) < 0.01);
        const auto reach = static_cast<int64_t>(feather);
        CHECK(row[24 + reach].item<double>() == 1);
        CHECK(row[24 + reach - 1].item<double>() < 1);
        CHECK(row[23 - reach].item<double>() == 0);
        CHECK(row[24 + reach / 4].item<double>() < 0.85);
    }
}

TEST_CASE("a sequence's masks go with the frames by number") {
    const TemporaryFolder folder;
    counting(folder / "m.%03d.png", 6, Rational(24, 1));
    const MaskSource mask{.path = folder / "m.%03d.png"};
    check_near(masks_of(*masked(clip(6), mask)), {0, 0.1, 0.2, 0.3, 0.4, 0.5});

    auto later = std::make_unique<DrawnClip>(2, [](int64_t) { return grey(0.5); });
    later->first_index = 3;
    check_near(masks_of(*masked(std::move(later), mask)), {0.3, 0.4});

    check_ends(mask, 6);
}

TEST_CASE("a clip's masks go with the frames by time") {
    const TemporaryFolder folder;
    // Half the rate: each mask serves two frames of 25 a second.
    const MaskSource mask{.path = counting(folder / "m.mkv", 4, Rational(25, 2))};
    check_near(masks_of(*masked(clip(8), mask)), {0, 0, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3});
    check_ends(mask, 8);
}

TEST_CASE("frames reached anywhere have the masks they have in order") {
    const TemporaryFolder folder;
    const auto path = counting(folder / "clip.mkv", 10, Rational(2, 1));
    const ClipSource source{.path = path,
                            .reading = {},
                            .rate = {},
                            .mask = {.path = counting(folder / "mask.mkv", 10, Rational(2, 1))}};
    std::vector<ClipFrame> list;
    const auto all = open_clip(source);
    while (const auto frame = all->next()) {
        list.push_back({frame->index, frame->time, frame->duration});
    }
    ClipCursor cursor(source, list);
    for (const int64_t place : {7, 8, 2, 9, 0}) {
        INFO(place);
        const Frame frame = cursor.at(place);
        CHECK(frame.index == place);
        CHECK(std::abs(frame.mask.mean().item<double>() -
                       expanded(0.1 * static_cast<double>(place))) < 0.006);
    }
}

TEST_CASE("a mask that does not serve the clip is refused") {
    const TemporaryFolder folder;
    write_picture(folder / "square.png", grey(1, 32, 32));
    CHECK_THROWS_WITH(masked(clip(1), {.path = folder / "square.png"})->next(),
                      Catch::Contains("is 32x32, another shape than the clip's 48x32"));
    CHECK_THROWS_AS(masked(clip(1), {.path = "-"}), Error);
    CHECK_THROWS_AS(masked(clip(1), {.path = folder / "missing.png"})->next(), Error);

    const MaskSource six{.path = counting(folder / "m.%03d.png", 6, Rational(24, 1))};
    Frame frame;
    frame.index = 5;
    const auto info = clip(1)->info();
    CHECK_NOTHROW(check_mask(six, info, frame));
    frame.index = 6;
    CHECK_THROWS_AS(check_mask(six, info, frame), Error);
    CHECK_NOTHROW(check_mask({}, info, frame));
}
