// What the program does with pipes, sequences, damage, names and signals; strength 0 throughout, so
// that only the media path works.
#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>

#include "io/media/inspect.h"
#include "io/media/picture.h"
#include "io/media/reader.h"
#include "tests/cli/program.h"
#include "tests/fixtures/tiny_model.h"

using namespace weft;

namespace {

/// A shelf with the tiny model under the name "starter", made once.
const std::filesystem::path& shelf() {
    static const TemporaryFolder folder;
    static const bool written = [] {
        write_tiny_model(folder / "starter");
        return true;
    }();
    static_cast<void>(written);
    return folder.path();
}

/// Runs a shell line in which $WEFT is the program, in `folder`; `catches PID` says whether that
/// process has set a handler for SIGTERM.
Finished shell(const TemporaryFolder& folder, const std::string& line) {
    return tool(
        {"bash", "-c",
         c10::str(
             "cd '", folder.path().string(), "'; export WEFT_MODELS='", shelf().string(),
             "' OMP_NUM_THREADS=1; WEFT='", WEFT_BINARY_DIR,
             "/bin/weft'; copy() { \"$WEFT\" stylize -p x --strength 0 --threads 1"
             " --progress none \"$@\"; }; make() { ffmpeg -nostdin -v error -y -threads 1 -f"
             " lavfi -i testsrc2=s=96x64:r=25:d=\"$1\" \"${@:2}\"; }; catches() { (( 0x$(sed -n"
             " 's/^SigCgt:[[:space:]]*//p' /proc/$1/status) & 0x4000 )); }; ",
             line)});
}

std::vector<Frame> frames_of(const std::filesystem::path& path) {
    const auto source = open_video(path);
    std::vector<Frame> frames;
    while (auto frame = source->next()) {
        frames.push_back(std::move(*frame));
    }
    return frames;
}

std::vector<std::string> names_in(const TemporaryFolder& folder) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
        names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

/// Digest of all packets of the sound.
std::string sound(const TemporaryFolder& folder, const std::string& name) {
    return shell(folder, c10::str("ffmpeg -v error -i ", name, " -map 0:a -c copy -f md5 -")).out;
}

void check_same_pixels(const std::filesystem::path& before, const std::filesystem::path& after) {
    const auto a = frames_of(before);
    const auto b = frames_of(after);
    REQUIRE(a.size() == b.size());
    for (size_t i = 0; i < a.size(); ++i) {
        CHECK(a[i].pixels.equal(b[i].pixels));
        CHECK(std::abs((a[i].time - b[i].time).seconds()) < 0.0011);
    }
}

}  // namespace

TEST_CASE("clips go through pipes with picture, sound and times") {
    const TemporaryFolder folder;
    REQUIRE(
        shell(folder, "make 0.6 -f lavfi -i sine=d=0.6 -c:a aac -c:v ffv1 -pix_fmt yuv420p in.mkv")
            .code == 0);
    for (const std::string way :
         {"cat in.mkv | copy - -o - --codec ffv1 > out.mkv",
          "mkfifo a b; cat in.mkv > a & copy a -o b --codec ffv1 & cat b > out.mkv; wait",
          "cat in.mkv | copy - -o - --codec ffv1 --container nut > out.mkv",
          "copy in.mkv -o - --codec raw --container nut | copy - -o out.mkv --codec ffv1"}) {
        INFO(way);
        const auto done = shell(folder, way);
        INFO(done.error);
        REQUIRE(done.code == 0);
        check_same_pixels(folder / "in.mkv", folder / "out.mkv");
        CHECK(sound(folder, "out.mkv") == sound(folder, "in.mkv"));
        CHECK(shell(folder, "rm -f out.mkv a b").code == 0);
    }
    CHECK(names_in(folder) == std::vector<std::string>{"in.mkv"});
}

TEST_CASE("y4m, mpeg-ts and fragmented mp4 pass through pipes") {
    const TemporaryFolder folder;
    REQUIRE(shell(folder, "make 0.4 -c:v libx264 -preset ultrafast -bf 2 in.ts").code == 0);
    for (const std::string way : {"cat in.ts | copy - -o - --container yuv4mpegpipe > out.y4m",
                                  "cat in.ts | copy - -o - --container mpegts --crf 1 > out.y4m",
                                  "cat in.ts | copy - -o - --container mp4 --crf 1 > out.y4m",
                                  "cat in.ts | copy - -o out.y4m --from 2f --to 5f"}) {
        INFO(way);
        const auto done = shell(folder, way);
        INFO(done.error);
        REQUIRE(done.code == 0);
        CHECK(frames_of(folder / "out.y4m").size() ==
              (way.find("--to") == std::string::npos ? 10 : 3));
        std::filesystem::remove(folder / "out.y4m");
    }
}

TEST_CASE("a part of a pipe brings its sound to the end of the part") {
    const TemporaryFolder folder;
    REQUIRE(shell(folder,
                  "make 2 -f lavfi -i sine=d=2 -c:a pcm_s16le -c:v ffv1 in.mkv;"
                  "cat in.mkv | copy - -o piped.mkv --codec ffv1 --from 0.4 --to 1.2;"
                  "copy in.mkv -o filed.mkv --codec ffv1 --from 0.4 --to 1.2")
                .code == 0);
    CHECK(frames_of(folder / "piped.mkv").size() == 20);
    CHECK(sound(folder, "piped.mkv") == sound(folder, "filed.mkv"));
}

TEST_CASE("pipes that bring no clip end with one line") {
    const TemporaryFolder folder;
    for (const std::string source : {"printf ''", "yes", "cat /dev/zero", "cat /dev/urandom",
                                     "printf '#EXTM3U\\nhttp://x/y\\n'"}) {
        INFO(source);
        const auto done = shell(folder, c10::str(source, " | copy - -o out.mp4"));
        INFO(done.error);
        CHECK(done.code == 1);
        CHECK(done.error_lines() == 1);
    }
    CHECK(names_in(folder).empty());
}

TEST_CASE("a reader that closes the pipe ends the run quietly") {
    const TemporaryFolder folder;
    const auto done =
        shell(folder,
              "make 4 -c:v ffv1 in.mkv; copy in.mkv -o - --codec raw --container nut | head -c 9"
              " > start; echo \"${PIPESTATUS[0]}\"");
    INFO(done.error);
    CHECK(done.out == "1\n");
    CHECK(done.error.empty());
}

TEST_CASE("signals end a run that waits for a pipe, and leave nothing") {
    const TemporaryFolder folder;
    for (const int signal : {SIGINT, SIGTERM}) {
        const auto done = shell(
            folder,
            c10::str("mkfifo quiet; sleep 20 > quiet & \"$WEFT\" stylize quiet -p x --strength"
                     " 0 -o out.mkv --progress none & for i in {1..200}; do catches $! && break; "
                     "sleep 0.05; done;"
                     " sleep 0.3; kill -",
                     signal, " $!; wait $!; code=$?; kill %1; rm quiet; exit $code"));
        INFO(done.error);
        CHECK(done.code == 130);
        CHECK(done.error.find("interrupted") != std::string::npos);
        CHECK(names_in(folder).empty());
    }
}

TEST_CASE("kill -9 leaves an older OUT as it was, and the next run succeeds") {
    const TemporaryFolder folder;
    REQUIRE(
        shell(folder, "make 0.4 -c:v ffv1 in.mkv; make 30 -c:v ffv1 long.mkv; echo keep > out.mkv")
            .code == 0);
    const auto killed =
        shell(folder,
              "\"$WEFT\" stylize long.mkv -p x --strength 0 -o out.mkv -y --codec ffv1"
              " --progress none & until [ -s .out.mkv.weft-part ]; do sleep 0.05; done;"
              " kill -9 $!; wait $!");
    CHECK(killed.code == 137);
    std::ifstream kept(folder / "out.mkv");
    CHECK(std::string(std::istreambuf_iterator<char>(kept), {}) == "keep\n");
    REQUIRE(shell(folder, "copy in.mkv -o out.mkv -y --codec ffv1").code == 0);
    check_same_pixels(folder / "in.mkv", folder / "out.mkv");
    CHECK(names_in(folder) == std::vector<std::string>{"in.mkv", "long.mkv", "out.mkv"});
}

TEST_CASE("names may hold anything a file system takes") {
    const TemporaryFolder folder;
    REQUIRE(shell(folder, "make 0.2 -c:v ffv1 in.mkv").code == 0);
    for (const std::string name : {"two words.mkv", "-dash.mkv", "größe 日本.mkv", "a:b.mkv",
                                   "100%d.mkv", "quote'\".mkv", "http:x.mkv", "%04d.mkv"}) {
        INFO(name);
        std::filesystem::rename(folder / "in.mkv", folder / name);
        const auto done =
            shell(folder, R"(for f in *; do copy --out="$f.2.mkv" --codec ffv1 -- "$f"; done)");
        INFO(done.error);
        CHECK(done.code == 0);
        CHECK(names_in(folder).size() == 2);
        std::filesystem::rename(folder / name, folder / "in.mkv");
        CHECK(shell(folder, "for f in ./*; do [ \"$f\" = ./in.mkv ] || rm -- \"$f\"; done").code ==
              0);
    }
}

TEST_CASE("damage in the middle is refused with its place, or passed over and counted") {
    const TemporaryFolder folder;
    REQUIRE(shell(folder, "make 1 -c:v libx264 -preset ultrafast -g 5 -bf 0 in.mkv").code == 0);
    {
        std::fstream file(folder / "in.mkv", std::ios::binary | std::ios::in | std::ios::out);
        file.seekp(static_cast<std::streamoff>(std::filesystem::file_size(folder / "in.mkv") / 2));
        file << std::string(400, '\x55');
    }
    const auto refused = shell(folder, "copy in.mkv -o out.mkv");
    INFO(refused.error);
    CHECK(refused.code == 1);
    CHECK(refused.error_lines() == 1);
    CHECK(refused.error.find("damaged near frame") != std::string::npos);
    CHECK(names_in(folder) == std::vector<std::string>{"in.mkv"});
    const auto kept = shell(folder, "copy in.mkv -o out.mkv --keep-going");
    INFO(kept.error);
    REQUIRE(kept.code == 0);
    CHECK(kept.error.find("damaged places were skipped") != std::string::npos);
    CHECK(frames_of(folder / "out.mkv").size() >= 15);
}

TEST_CASE("encoder options, containers and rates are the user's to choose") {
    const TemporaryFolder folder;
    REQUIRE(shell(folder, "make 0.4 -c:v ffv1 -pix_fmt yuv420p in.mkv").code == 0);
    const auto field = [&](const std::string& name, const std::string& file) {
        return shell(folder, c10::str("ffprobe -v error -show_entries stream=", name,
                                      " -of csv=p=0 ", file))
            .out;
    };
    const auto chosen = shell(folder,
                              "copy in.mkv -o a.mp4 --encoder-opts"
                              " pix_fmt=yuv422p10le:bf=0:x264-params=keyint=5");
    INFO(chosen.error);
    REQUIRE(chosen.code == 0);
    CHECK(field("pix_fmt", "a.mp4") == "yuv422p10le\n");
    CHECK(field("has_b_frames", "a.mp4") == "0\n");
    REQUIRE(shell(folder,
                  "copy in.mkv -o half.mkv --fps 12.5; copy in.mkv -o more.mkv --fps 50;"
                  "copy in.mkv -o as.data --container mov; copy in.mkv -o shot.%03d.tif;"
                  "copy shot.%03d.tif -o again.mkv --fps 10 --codec ffv1")
                .code == 0);
    CHECK(frames_of(folder / "half.mkv").size() == 5);
    CHECK(frames_of(folder / "more.mkv").size() == 20);
    CHECK(frames_of(folder / "as.data").size() == 10);
    CHECK(frames_of(folder / "again.mkv").at(3).time.seconds() == Approx(0.3));

    struct Wrong {
        std::string options;
        std::string words;
    };

    for (const auto& [options, words] :
         {Wrong{"--encoder-opts nonsense", "KEY=VALUE"},
          Wrong{"--encoder-opts frob=1", "no option 'frob'"},
          Wrong{"--encoder-opts pix_fmt=foo", "yuv420p"},
          Wrong{"--container srt", "holds no video"}, Wrong{"--fps fast", "no frame rate"},
          Wrong{"--max-pixels -5", "--max-pixels"}}) {
        const auto done = shell(folder, c10::str("copy in.mkv -o b.mp4 ", options));
        INFO(options << "\n" << done.error);
        CHECK(done.code == 2);
        CHECK(done.error_lines() == 1);
        CHECK(done.error.find(words) != std::string::npos);
    }
    // A device's encoder that is not here is told from a name that nobody knows.
    const auto codecs = available_codecs();
    for (const std::string codec : {"h264_nvenc", "h265_nvenc", "h264_qsv", "h265_qsv"}) {
        if (std::find(codecs.begin(), codecs.end(), codec) != codecs.end())
            continue;
        const auto absent = shell(folder, c10::str("copy in.mkv -o b.mp4 --codec ", codec));
        INFO(absent.error);
        CHECK(absent.code == 2);
        CHECK(absent.error_lines() == 1);
        CHECK(absent.error.find(c10::str("'", codec, "' needs ")) != std::string::npos);
    }
    CHECK(shell(folder, "copy in.mkv -o b.mp4 --codec h264_frob").error.find("known: auto") !=
          std::string::npos);
    const auto large = shell(folder, "copy in.mkv -o b.mp4 --max-pixels 6000");
    CHECK(large.code == 1);
    CHECK(large.error.find("limit of 6000 pixels") != std::string::npos);
}

TEST_CASE("a disk that fills up ends the run with one line and no file") {
    const TemporaryFolder folder;
    REQUIRE(shell(folder, "make 2 -c:v ffv1 in.mkv").code == 0);
    for (const std::string out : {"out.mkv", "out.mp4", "shot.%02d.png"}) {
        const auto done = shell(folder, c10::str("ulimit -f 4; copy in.mkv -o ", out, " --crf 1"));
        INFO(out << "\n" << done.error);
        CHECK(done.code == 1);
        CHECK(done.error_lines() == 1);
        CHECK(names_in(folder) == std::vector<std::string>{"in.mkv"});
    }
}

TEST_CASE("absurd sizes are refused before memory is asked for") {
    const TemporaryFolder folder;
    const auto bytes = [](const char* text, size_t size) { return std::string(text, size); };
    const std::string rest(600, '\x33');
    // Headers of 60,000 x 60,000 pixels and more whose data is missing.
    const std::vector<std::pair<std::string, std::string>> bombs = {
        {"bomb.png", bytes("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xea\x60\0\0\xea\x60\x08\x02\0\0\0"
                           "\xde\xad\xbe\xef",
                           33)},
        {"bomb.bmp", bytes("BM\0\x10\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x60\xea\0\0\x60\xea\0\0"
                           "\x01\0\x18\0\0\0\0\0",
                           34)},
        {"bomb.gif", bytes("GIF89a\xff\xff\xff\xff\xf7\0\0", 13) + std::string(768, '\x11') +
                         bytes(",\0\0\0\0\xff\xff\xff\xff\0\x08", 11)},
        {"bomb.ppm", "P6 60000 60000 255\n"},
        {"bomb.y4m", "YUV4MPEG2 W60000 H60000 F25:1 Ip C420jpeg\nFRAME\n"},
        {"bomb.jpg", bytes("\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03\x01\x11\0\x02\x11\x01"
                           "\x03\x11\x01\xff\xda\0\x0c\x03\x01\0\x02\x11\x03\x11\0\x3f\0",
                           35)},
        {"bomb.tga", bytes("\0\0\x02\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\x18\0", 18)},
    };
    for (const auto& [name, header] : bombs) {
        std::ofstream(folder / name, std::ios::binary) << header << rest;
        const auto done = weft_program({.arguments = {"stylize", (folder / name).string(), "-p",
                                                      "x", "-o", (folder / "out.png").string()},
                                        .models = shelf(),
                                        .meanwhile = {}});
        INFO(name << ": " << done.error);
        CHECK(done.code == 1);
        CHECK(done.error_lines() == 1);
        if (memory_counts) {
            CHECK(done.peak_bytes < int64_t{400} << 20);
        }
    }
    CHECK(names_in(folder).size() == bombs.size());
}

TEST_CASE("writing over IN is refused by whatever name or link it goes") {
    const TemporaryFolder folder;
    REQUIRE(shell(folder,
                  "make 0.2 -c:v ffv1 in.mkv; mkdir sub; ln -s ../in.mkv sub/soft.mkv; ln in.mkv"
                  " hard.mkv; md5sum in.mkv > sum")
                .code == 0);
    for (const std::string out :
         {"in.mkv", "./sub/../in.mkv", "sub/soft.mkv", "hard.mkv", "\"$PWD/in.mkv\""}) {
        const auto done = shell(folder, c10::str("copy in.mkv -y -o ", out));
        INFO(out << ": " << done.error);
        CHECK(done.code == 1);
        CHECK(done.error_lines() == 1);
    }
    CHECK(shell(folder, "md5sum -c --status sum").code == 0);
}

TEST_CASE("scene-linear and log sources are edited in named colour spaces") {
    const TemporaryFolder folder;
    REQUIRE(shell(folder,
                  "make 0.12 -vf format=gbrpf32le -compression zip1 -format half shot.%04d.exr;"
                  "make 0.12 -c:v ffv1 -pix_fmt yuv422p10le log.mkv")
                .code == 0);
    const auto same = shell(folder,
                            "copy shot.%04d.exr -o out.%04d.exr --colorspace ACEScg &&"
                            "copy log.mkv -o out.mkv --codec ffv1 --colorspace logc3");
    INFO(same.error);
    REQUIRE(same.code == 0);
    check_same_pixels(folder / "shot.%04d.exr", folder / "out.%04d.exr");
    check_same_pixels(folder / "log.mkv", folder / "out.mkv");

    const auto other =
        shell(folder,
              "copy shot.%04d.exr -o show.mp4 --codec h265 --colorspace ACEScg:sRGB:Rec.2100-PQ &&"
              "ffprobe -v error -show_entries stream=color_transfer,color_space,pix_fmt -of csv=p=0"
              " show.mp4");
    INFO(other.error);
    CHECK(other.out == "yuv420p10le,bt2020nc,smpte2084\n");
    // An edit in log keeps its highlights: what was brightest stays beyond a display's white.
    REQUIRE(shell(folder,
                  "\"$WEFT\" stylize log.mkv -p x --strength 0.5 --steps 1 --guidance 1 -o e.mkv"
                  " --codec ffv1 --colorspace logc3 --threads 1 --progress none")
                .code == 0);
    CHECK(frames_of(folder / "e.mkv").at(0).pixels.isfinite().all().item<bool>());

    struct Wrong {
        std::string options;
        std::string words;
        int code;
    };

    std::ofstream(folder / "broken.ocio") << "ocio_profile_version: 2\ncolorspaces: [";
    for (const auto& [options, words, code] :
         {Wrong{"--colorspace ACEScq", "near: ACEScg", 2},
          Wrong{"--colorspace a:b:c:d", "IN[:MODEL[:OUT]]", 2},
          Wrong{"--ocio builtin", "colorspace", 2},
          Wrong{"--ocio none.ocio --colorspace ACEScg", "none.ocio", 1},
          Wrong{"--ocio broken.ocio --colorspace ACEScg", "broken.ocio", 1}}) {
        const auto done = shell(folder, c10::str("copy log.mkv -o b.mkv ", options));
        INFO(options << "\n" << done.error);
        CHECK(done.code == code);
        CHECK(done.error_lines() == 1);
        CHECK(done.error.find(words) != std::string::npos);
    }
    CHECK(shell(folder, "OCIO=broken.ocio copy log.mkv -o b.mkv --colorspace x").code == 1);
    CHECK(shell(folder, "\"$WEFT\" inspect broken.ocio").code == 1);
    CHECK(shell(folder, "\"$WEFT\" doctor").out.find("ARRI LogC4") != std::string::npos);
}
