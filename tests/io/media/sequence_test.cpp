#include <catch2/catch.hpp>
#include <fstream>

#include "io/files/error.h"
#include "io/media/location.h"
#include "io/media/picture.h"
#include "io/media/retime.h"
#include "tests/io/media/clips.h"

namespace weft {
namespace {

namespace fs = std::filesystem;
using test::clip;
using test::moving;

/// A fresh folder in the scratch folder.
fs::path folder(const std::string& name) {
    const fs::path path = test::scratch() / name;
    fs::remove_all(path);
    fs::create_directory(path);
    return path;
}

/// Five numbered pictures from 1001 on; returns their pattern.
fs::path shot(const std::string& name, const std::string& ending, const std::string& format) {
    const fs::path pattern = folder(name) / c10::str("shot.%04d.", ending);
    test::ffmpeg(c10::str(moving("64x48", "24", "0.2"), " -vf format=", format, " -pix_fmt ",
                          format, " -start_number 1001 '", pattern.string(), "'"));
    return pattern;
}

std::vector<std::string> names_in(const fs::path& path) {
    std::vector<std::string> names;
    for (const fs::directory_entry& entry : fs::directory_iterator(path))
        names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
}

std::string failure(const std::function<void()>& call) {
    try {
        call();
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

/// Frames of a clip that lasts as given, in sixtieths of a second.
class Ticks final : public FrameSource {
  public:
    explicit Ticks(std::vector<int64_t> durations) : durations_(std::move(durations)) {
        info_.frame_rate = Rational(60);
        info_.time_base = {1, 60};
    }

    std::optional<Frame> next() override {
        if (place_ == durations_.size())
            return std::nullopt;
        Frame frame;
        frame.index = static_cast<int64_t>(place_);
        frame.time = time_;
        frame.duration = Time(durations_[place_++], 60);
        time_ = time_ + frame.duration;
        return frame;
    }

    const StreamInfo& info() const override { return info_; }

  private:
    std::vector<int64_t> durations_;
    StreamInfo info_;
    size_t place_ = 0;
    Time time_{1, 2};
};

/// Keeps the numbers and times of what is put.
class Notes final : public FrameSink {
  public:
    explicit Notes(std::vector<Frame>& frames) : frames_(frames) {}

    void put(const Frame& frame) override { frames_.push_back(frame); }

    void finish() override {}

  private:
    std::vector<Frame>& frames_;
};

}  // namespace

TEST_CASE("sequence patterns are read as they are written") {
    struct Case {
        const char* text;
        int64_t number;
        const char* file;
    };

    for (const Case& row : {Case{"a/shot.%04d.exr", 7, "a/shot.0007.exr"},
                            Case{"shot.####.png", 12345, "shot.12345.png"},
                            Case{"%d.tif", 7, "7.tif"}, Case{"x%3d", 42, "x042"}}) {
        const auto pattern = SequencePattern::parse(row.text);
        REQUIRE(pattern);
        CHECK(pattern->file(row.number) == row.file);
        CHECK(pattern->number_of(fs::path(row.file).filename()) == row.number);
        CHECK_FALSE(pattern->number_of("other.0007.exr"));
    }
    for (const char* text : {"shot.exr", "a%sb.png", "%d%d.png", "%99d.png", "50%.png", "##-##"})
        CHECK_FALSE(SequencePattern::parse(text));
    CHECK_FALSE(SequencePattern::parse("s.%04d.exr")->number_of("s.00007.exr"));
    CHECK_FALSE(SequencePattern::parse("s.%04d.exr")->number_of("s.99999999999999999999.exr"));
}

TEST_CASE("image sequences keep numbers, depth and code values") {
    struct Case {
        const char* ending;
        const char* format;
    };

    for (const Case& row : {Case{"png", "rgb24"}, Case{"png", "rgb48be"}, Case{"png", "rgba64be"},
                            Case{"tif", "rgb48le"}, Case{"tif", "rgba"}, Case{"dpx", "gbrp10be"},
                            Case{"dpx", "gbrp12be"}, Case{"exr", "gbrpf32le"}}) {
        INFO(row.ending << " " << row.format);
        const fs::path in = shot("seq-in", row.ending, row.format);
        const fs::path out = folder("seq-out") / c10::str("new.%05d.", row.ending);
        test::copy_clip(in, out);
        CHECK(names_in(out.parent_path()).front() == c10::str("new.01001.", row.ending));
        const auto before = test::frames_of(in);
        const auto after = test::frames_of(out);
        REQUIRE(before.size() == 5);
        REQUIRE(after.size() == 5);
        CHECK(open_video(out)->info().bit_depth == open_video(in)->info().bit_depth);
        for (size_t i = 0; i < before.size(); ++i) {
            CHECK(after[i].pixels.equal(before[i].pixels));
            CHECK(after[i].time == Time(static_cast<int64_t>(i), 24));
        }
    }
}

TEST_CASE("half-float EXR stays half, and bright values stay bright") {
    const fs::path in = folder("exr") / "bright.0001.exr";
    const torch::Tensor bright =
        torch::linspace(-0.5, 60, 64 * 48).view({1, 48, 64}).repeat({3, 1, 1});
    write_picture(in, bright);
    CHECK(open_video(in)->info().bit_depth == 16);
    CHECK(open_video(in)->info().is_float);
    const fs::path out = test::scratch() / "exr" / "copy.exr";
    test::copy_clip(in, out);
    CHECK(open_video(out)->info().bit_depth == 16);
    const torch::Tensor read = read_picture(out);
    CHECK(read.equal(read_picture(in)));
    CHECK((read - bright).abs().max().item<double>() < 60.0 / 1024);
}

TEST_CASE("a folder is the sequence in it, a part keeps its numbers") {
    const fs::path in = shot("seq-folder", "png", "rgb24");
    const fs::path out = folder("seq-part") / "p.%d.tif";
    test::copy_clip(in.parent_path(), out, {},
                    {.from = Position{.time = {}, .frame = 1},
                     .to = Position{.time = Time(4, 24), .frame = {}}});
    CHECK(names_in(out.parent_path()) ==
          std::vector<std::string>{"p.1002.tif", "p.1003.tif", "p.1004.tif"});
    const fs::path made = test::scratch() / "seq-made/";
    test::copy_clip(in, made);
    CHECK(names_in(made).front() == "frame.1001.png");
    CHECK_THAT(failure([&] { test::copy_clip(in, made); }), Catch::Contains("exists already"));
    CHECK_THAT(failure([&] { test::copy_clip(in, in, {.overwrite = true}); }),
               Catch::Contains("is the input itself"));
    CHECK_THAT(failure([&] { open_video(test::scratch() / "nothing.%d.png"); }),
               Catch::Contains("no file exists"));
    CHECK_THAT(failure([&] { open_video(folder("seq-none")); }),
               Catch::Contains("without numbered pictures"));
    CHECK(test::files_with("weft-part").empty());
}

TEST_CASE("gaps and broken files of a sequence are named, or counted") {
    const fs::path in = shot("seq-gaps", "png", "rgb24");
    fs::remove(in.parent_path() / "shot.1003.png");
    CHECK_THAT(failure([&] { open_video(in); }), Catch::Contains("lacks the frames 1003;"));
    const auto source = open_video(in, {.damage = Damage::skip});
    std::vector<int64_t> indices;
    std::vector<Time> durations;
    while (const auto frame = source->next()) {
        indices.push_back(frame->index);
        durations.push_back(frame->duration);
    }
    CHECK(indices == std::vector<int64_t>{0, 1, 3, 4});
    CHECK(durations.at(1) == Time(2, 24));
    CHECK_THAT(source->warnings().at(0), Catch::Contains("1 frames of the sequence are missing"));

    const fs::path broken = shot("seq-broken", "png", "rgb24");
    fs::resize_file(broken.parent_path() / "shot.1002.png", 60);
    CHECK_THAT(failure([&] { test::frames_of(broken); }), Catch::Contains("shot.1002.png"));
    const auto rest = open_video(broken, {.damage = Damage::skip});
    size_t count = 0;
    while (rest->next()) ++count;
    CHECK(count == 4);
    CHECK_THAT(rest->warnings().at(0), Catch::Contains("1 damaged files"));

    const fs::path sizes = shot("seq-sizes", "png", "rgb24");
    test::ffmpeg(c10::str(moving("32x32", "1", "1"), " -frames:v 1 '",
                          (sizes.parent_path() / "shot.1002.png").string(), "'"));
    CHECK_THAT(failure([&] { test::frames_of(sizes); }), Catch::Contains("the sequence is 64x48"));
}

TEST_CASE("an abandoned sequence leaves nothing, a single picture takes one frame") {
    const fs::path in = shot("seq-leave", "png", "rgb24");
    const fs::path out = folder("seq-left") / "o.%03d.png";
    {
        const auto source = open_video(in);
        const auto sink = create_video(out, source->info());
        sink->put(source->next().value());
        CHECK_FALSE(names_in(out.parent_path()).empty());
    }
    CHECK(names_in(out.parent_path()).empty());
    const fs::path one = out.parent_path() / "one.png";
    CHECK_THAT(failure([&] { test::copy_clip(in, one); }), Catch::Contains("is one picture"));
    CHECK(names_in(out.parent_path()).empty());
}

TEST_CASE("stills keep their depth") {
    for (const char* name : {"still16.png", "still16.tif"}) {
        const fs::path in = clip(name, moving("64x48", "1", "1") + " -frames:v 1 -pix_fmt rgb48");
        const fs::path out = test::scratch() / c10::str("copy-", name);
        test::copy_clip(in, out);
        CHECK(open_video(out)->info().bit_depth == 16);
        CHECK(read_picture(out).equal(read_picture(in)));
    }
}

TEST_CASE("re-timing drops and repeats frames by their times") {
    const auto retimed = [](const std::vector<int64_t>& durations, const Rational& rate) {
        std::vector<Frame> frames;
        const auto source = at_rate(std::make_unique<Ticks>(durations), rate);
        const auto sink = repeating(std::make_unique<Notes>(frames), rate);
        while (const auto frame = source->next()) sink->put(*frame);
        return frames;
    };
    const auto same = retimed({1, 1, 1, 1}, Rational(60));
    REQUIRE(same.size() == 4);
    CHECK(same[3].time == Time(1, 2) + Time(3, 60));
    const auto half = retimed({1, 1, 1, 1, 1, 1}, Rational(30));
    REQUIRE(half.size() == 3);
    CHECK(half[1].time - half[0].time == Time(1, 30));
    const auto held = retimed({1, 4, 1}, Rational(60));
    REQUIRE(held.size() == 6);
    CHECK(held[1].duration == Time(1, 60));
    for (size_t i = 0; i < held.size(); ++i) CHECK(held[i].index == static_cast<int64_t>(i));
    CHECK(retimed({60}, Rational(30000, 1001)).size() == 30);
}

TEST_CASE("rates are read as people write them") {
    CHECK(parse_rate("24") == Rational(24));
    CHECK(parse_rate("29.97") == Rational(30000, 1001));
    CHECK(parse_rate("23.976") == Rational(24000, 1001));
    CHECK(parse_rate("30000/1001") == Rational(30000, 1001));
    CHECK(parse_rate("12.5") == Rational(25, 2));
    for (const char* text : {"", "0", "-1", "1/0", "abc", "1e3", "99999"})
        CHECK_FALSE(parse_rate(text));
}

}  // namespace weft
