#include "io/files/whole_file.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <csignal>

#include "io/files/safetensors.h"
#include "tests/io/files/scratch.h"

namespace weft {

namespace {

// Files of this process cannot grow beyond `bytes` while it lives: the nearest to a full disk.
class FileSizeLimit {
  public:
    explicit FileSizeLimit(rlim_t bytes) {
        std::signal(SIGXFSZ, SIG_IGN);
        ::getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit limit{bytes, before_.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &limit);
    }

    ~FileSizeLimit() {
        ::setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, SIG_DFL);
    }

    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;

  private:
    rlimit before_{};
};

std::string content(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("a file appears only when it is committed") {
    const Scratch scratch;
    {
        WholeFile file(scratch / "a");
        file.write("half");
        CHECK(!std::filesystem::exists(scratch / "a"));
    }
    CHECK(scratch.entries() == 0);
    WholeFile file(scratch / "a");
    file.write("whole");
    file.commit();
    CHECK(content(scratch / "a") == "whole");
    CHECK(scratch.entries() == 1);
}

TEST_CASE("a full disk is an Error, keeps the old file and leaves nothing beside it") {
    const Scratch scratch;
    const auto old = scratch.write("x.safetensors", "old");
    std::string text;
    {
        const FileSizeLimit limit(4096);
        text = error_of([&] { save_safetensors(old, {{"a", at::ones({4096})}}); });
    }
    CHECK(text.find("the disk is full") != std::string::npos);
    CHECK(text.find("free some space") != std::string::npos);
    CHECK(content(old) == "old");
    CHECK(scratch.entries() == 1);

    const Scratch empty;
    {
        const FileSizeLimit limit(4096);
        const NamedTensors tensors{{"a", at::ones({100})}, {"b", at::ones({4096})}};
        text = error_of([&] { save_sharded(empty.folder(), "model", tensors, 1000); });
    }
    CHECK(text.find("the disk is full") != std::string::npos);
    CHECK(empty.entries() == 0);
}

TEST_CASE("places that cannot take a file are refused") {
    const Scratch scratch;
    CHECK(error_of([&] {
              WholeFile file(scratch / "no/such/folder/x");
          }).find("its folder exists") != std::string::npos);
    CHECK(error_of([&] { WholeFile file(scratch.folder()); }).find("is not a file") !=
          std::string::npos);
    REQUIRE(::mkfifo((scratch / "pipe").c_str(), 0600) == 0);
    CHECK(error_of([&] { WholeFile file(scratch / "pipe"); }).find("is not a file") !=
          std::string::npos);
    CHECK(error_of([] { WholeFile file("/dev/null"); }).find("is not a file") != std::string::npos);
}

TEST_CASE("a link stays a link to the new content") {
    const Scratch scratch;
    const auto target = scratch.write("target", "old");
    std::filesystem::create_symlink(target, scratch / "link");
    WholeFile file(scratch / "link");
    file.write("new");
    file.commit();
    CHECK(std::filesystem::is_symlink(scratch / "link"));
    CHECK(content(target) == "new");
}

}  // namespace weft
