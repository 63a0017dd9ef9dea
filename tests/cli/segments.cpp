#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>
#include <random>

#include "tests/cli/clips.h"
#include "tests/cli/program.h"
#include "tests/fixtures/tiny_model.h"

using namespace weft;

namespace {

/// Two shots of a moving pattern with sound, 40 frames.
std::string two_shots(const TemporaryFolder& folder) {
    return make_clip(folder / "in.mp4", "testsrc2=s=96x64:r=25:d=0.92",
                     {"-f",
                      "lavfi",
                      "-i",
                      "mandelbrot=s=96x64:r=25",
                      "-f",
                      "lavfi",
                      "-i",
                      "sine=440:d=1.6",
                      "-filter_complex",
                      "[1]trim=end_frame=17,setpts=PTS-STARTPTS[b];[0][b]concat[v]",
                      "-map",
                      "[v]",
                      "-map",
                      "2:a",
                      "-c:a",
                      "aac",
                      "-pix_fmt",
                      "yuv420p",
                      "-bf",
                      "2"});
}

std::vector<std::string> edit(const std::string& in, const std::filesystem::path& out,
                              const std::vector<std::string>& more = {}, int steps = 12) {
    std::vector<std::string> arguments{"stylize",
                                       in,
                                       "-p",
                                       "pencil sketch",
                                       "-o",
                                       out.string(),
                                       "--threads",
                                       "1",
                                       "--steps",
                                       std::to_string(steps),
                                       "--key-every",
                                       "4",
                                       "--segment-frames",
                                       "8",
                                       "--noise",
                                       "warped",
                                       "--progress",
                                       "plain"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
}

Finished run_weft(const std::vector<std::string>& arguments,
                  const std::function<void(int)>& meanwhile = {}) {
    return weft_program({.arguments = arguments, .models = tiny_shelf(), .meanwhile = meanwhile});
}

void require_done(const Finished& done) {
    INFO(done.error);
    REQUIRE(done.code == 0);
}

/// Picture and sound: decoded pixels, times, and every packet.
void check_same(const std::filesystem::path& a, const std::filesystem::path& b) {
    for (const char* stream : {"v:0", "a:0"}) {
        const std::string entries = "packet=pts,dts,duration,flags,data_hash";
        const auto packets = probe(a.string(), stream, entries);
        CHECK_FALSE(packets.empty());
        CHECK(packets == probe(b.string(), stream, entries));
    }
    const auto first = frames_of(a.string());
    const auto second = frames_of(b.string());
    REQUIRE(first.size() == second.size());
    for (size_t i = 0; i < first.size(); ++i) {
        CHECK(torch::equal(first[i].pixels, second[i].pixels));
        CHECK(first[i].time == second[i].time);
        CHECK(first[i].duration == second[i].duration);
    }
}

}  // namespace

TEST_CASE("whole, in parts in any order, and killed and resumed: the same clip") {
    const TemporaryFolder folder;
    const auto in = two_shots(folder);
    const auto whole = folder / "whole.mp4";
    require_done(run_weft(edit(in, whole)));
    CHECK(names_in(folder.path()) == std::vector<std::string>{"in.mp4", "whole.mp4"});
    const auto before = frames_of(in);
    const auto after = frames_of(whole.string());
    REQUIRE(after.size() == before.size());
    for (size_t i = 0; i < after.size(); ++i) {
        CHECK(after[i].time == before[i].time);
    }
    CHECK(probe(whole.string(), "a:0", "packet=pts,data_hash") ==
          probe(in, "a:0", "packet=pts,data_hash"));

    SECTION("four parts, the last one first") {
        std::vector<std::string> join{"join"};
        for (const char* part : {"5", "3-4", "1-2", "0"}) {
            const auto out = folder / (std::string("part") + part + ".mp4");
            const auto done = run_weft(edit(in, out, {"--segments", part}));
            require_done(done);
            CHECK(done.error.find("weft join") != std::string::npos);
            CHECK_FALSE(std::filesystem::exists(out));
            join.push_back(out.string() + ".weft");
        }
        const auto joined = folder / "joined.mp4";
        join.insert(join.end(), {"-o", joined.string()});
        require_done(run_weft(join));
        check_same(whole, joined);

        const auto lacking =
            run_weft({"join", join[1], join[3], "-o", (folder / "lacking.mp4").string()});
        CHECK(lacking.code == 1);
        CHECK(lacking.error.find("segments 0, 3-4 of 6 are missing") != std::string::npos);
        const auto other = folder / "other.mp4";
        require_done(run_weft(edit(in, other, {"--segments", "0", "--seed", "3"})));
        const auto unlike = run_weft({"join", other.string() + ".weft", join[1], join[2], join[3],
                                      "-o", (folder / "unlike.mp4").string()});
        CHECK(unlike.code == 1);
        CHECK(unlike.error.find("another edit") != std::string::npos);
    }

    SECTION("killed ten times at random") {
        const auto out = folder / "killed.mp4";
        std::mt19937 random(3);
        int kills = 0;
        for (int i = 0; i < 10; ++i) {
            // Counted from the work folder's appearance, so that most kills meet work.
            auto wait = static_cast<int>(random() % 12);
            bool sent = false;
            const auto lock = folder / "killed.mp4.weft" / "plan.toml";
            std::filesystem::remove(lock);
            const auto done = run_weft(edit(in, out), [&](int pid) {
                if (!sent && std::filesystem::exists(lock) && wait-- <= 0) {
                    sent = kill(pid, SIGKILL) == 0;
                }
            });
            INFO(done.error);
            CHECK((done.code == 0 || done.code == 128 + SIGKILL));
            kills += done.code == 0 ? 0 : 1;
            if (done.code == 0) {
                std::filesystem::remove(out);  // once more from the start
            }
            CHECK_FALSE(std::filesystem::exists(out));
        }
        CHECK(kills >= 3);
        require_done(run_weft(edit(in, out)));
        check_same(whole, out);
        CHECK_FALSE(std::filesystem::exists(folder / "killed.mp4.weft"));
    }
}

TEST_CASE("finished segments are kept, told and taken over only where they fit") {
    const TemporaryFolder folder;
    const auto in = two_shots(folder);
    const auto out = folder / "out.mp4";
    require_done(run_weft(edit(in, out, {"--segments", "0-2"})));
    SECTION("the same plan goes on") {
        const auto done = run_weft(edit(in, out, {"--keep-work"}));
        require_done(done);
        CHECK(done.error.find("segments 0-2 are there") != std::string::npos);
        CHECK(std::filesystem::exists(folder / "out.mp4.weft" / "segment-000005.weftseg"));
        const auto again = run_weft(edit(in, out, {"-y"}));
        require_done(again);
        CHECK(again.error.find("segments 0-5 are there") != std::string::npos);
    }
    SECTION("another plan makes them again") {
        const auto done = run_weft(edit(in, out, {"--seed", "8"}));
        require_done(done);
        CHECK(done.error.find("segments 0-2 of an earlier run") != std::string::npos);
    }
    SECTION("--restart ignores them") {
        const auto done = run_weft(edit(in, out, {"--restart"}));
        require_done(done);
        CHECK(done.error.find("earlier run") == std::string::npos);
    }
    SECTION("a damaged one is made again") {
        const auto file = folder / "out.mp4.weft" / "segment-000001.weftseg";
        std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2);
        const auto done = run_weft(edit(in, out));
        require_done(done);
        CHECK(done.error.find("segments 0, 2 are there") != std::string::npos);
    }
}

TEST_CASE("two runs on one OUT: the second is refused") {
    const TemporaryFolder folder;
    const auto in = two_shots(folder);
    const auto out = folder / "out.mp4";
    bool tried = false;
    const auto first = run_weft(edit(in, out, {}, 200), [&](int /*pid*/) {
        if (!tried && std::filesystem::exists(folder / "out.mp4.weft" / "lock")) {
            tried = true;
            const auto second = run_weft(edit(in, out));
            CHECK(second.code == 1);
            CHECK(second.error_lines() == 1);
            CHECK(second.error.find("another run") != std::string::npos);
        }
    });
    CHECK(tried);
    require_done(first);
}

TEST_CASE("wrong ranges and folders are refused with the way out") {
    const TemporaryFolder folder;
    const auto in = two_shots(folder);
    const auto out = folder / "out.mp4";
    const auto refused = [&](const std::vector<std::string>& arguments, int code,
                             const std::string& words) {
        const auto done = run_weft(arguments);
        INFO(done.error);
        CHECK(done.code == code);
        CHECK(done.error_lines() == 1);
        CHECK(done.error.find(words) != std::string::npos);
    };
    refused(edit(in, out, {"--segments", "4-9"}), 2, "0-5");
    refused(edit(in, out, {"--segments", "b"}), 2, "no range");
    refused(edit(in, folder / "out.%03d.png", {"--segments", "0"}), 2, "one go");
    refused({"join", in, "-o", out.string()}, 1, "no work folder");
    CHECK(names_in(folder.path()) == std::vector<std::string>{"in.mp4"});
}
