#include <sys/resource.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <cstring>

#include "io/files/safetensors.h"
#include "tests/io/files/scratch.h"

namespace weft {

namespace {

std::string length(uint64_t value) {
    std::string bytes(sizeof value, '\0');
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
}

// A file with `header` and `data_bytes` zeros.
std::string file(const std::string& header, size_t data_bytes) {
    return c10::str(length(header.size()), header, std::string(data_bytes, '\0'));
}

// A file whose one tensor "a" has these fields.
std::string tensor(const std::string& dtype, const std::string& shape, const std::string& offsets,
                   size_t data_bytes) {
    return file(c10::str(R"({"a":{"dtype":)", dtype, R"(,"shape":)", shape, R"(,"data_offsets":)",
                         offsets, "}}"),
                data_bytes);
}

// Two F32 tensors of 8 bytes at these offsets.
std::string pair_at(const std::string& first, const std::string& second, size_t data_bytes) {
    const std::string head = R"({"dtype":"F32","shape":[2],"data_offsets":)";
    return file(c10::str(R"({"a":)", head, first, R"(},"b":)", head, second, "}}"), data_bytes);
}

std::string deep(size_t levels) {
    return file(c10::str(R"({"a":)", std::string(levels, '['), std::string(levels, ']'), "}"), 0);
}

struct Case {
    std::string bytes;
    std::string text;  // what the Error must say
};

std::vector<Case> broken_files() {
    return {
        // Lengths.
        {"", "too few for a safetensors file"},
        {"abc", "too few for a safetensors file"},
        {c10::str(length(2)), "too few for a safetensors file"},
        {c10::str(length(1000), "{}"), "its header claims 1000 bytes where 2 are left"},
        {c10::str(length(uint64_t{1} << 63U), "{}"), "is no safetensors file"},
        {c10::str(length(~uint64_t{0}), "{}"), "is no safetensors file"},
        {c10::str(length(0), "{}"), "broken JSON"},
        {std::string(64, '\0'), "is no safetensors file"},
        {"just some text that is no model at all", "is no safetensors file"},
        // Other formats.
        {"PK\x03\x04 archive/data.pkl and more", "pickle, which can run code"},
        {c10::str("\x80\x02}q", std::string(32, 'x')), "pickle, which can run code"},
        {"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"},
        {"<!DOCTYPE html><html>", "is a web page"},
        {c10::str("GGUF", std::string(32, '\0')), "is a GGUF file"},
        // Header.
        {file("{\"a\":", 0), "broken JSON"},
        {file("{} {}", 0), "broken JSON"},
        {file("{\"\xff\xfe\":1}", 0), "invalid UTF-8"},
        {file(R"({"a":1})", 0), "tensor 'a' is a number"},
        {deep(63), "tensor 'a' is a list"},
        {deep(64), "nested deeper than 64 levels"},
        {deep(1'000'000), "nested deeper than 64 levels"},
        {file(R"({"a":{},"a":{}})", 0), "the name 'a' is given twice"},
        {file(R"({"a":{"dtype":"F32","dtype":"F16"}})", 0), "the name 'dtype' is given twice"},
        {file(R"({"__metadata__":[]})", 0), "__metadata__ is no object"},
        {file(R"({"__metadata__":{"a":1}})", 0), "__metadata__ 'a' is a number"},
        {file(R"({"a\u001b[2J":1})", 0), R"(tensor 'a\x1b[2J')"},
        // Fields.
        {file(R"({"a":{"shape":[2],"data_offsets":[0,8]}})", 8), "tensor 'a' has no dtype"},
        {file(R"({"a":{"dtype":"F32","data_offsets":[0,8]}})", 8), "tensor 'a' has no shape"},
        {file(R"({"a":{"dtype":"F32","shape":[2]}})", 8), "tensor 'a' has no data_offsets"},
        {tensor(R"("F31")", "[2]", "[0,8]", 8), "unknown dtype 'F31'"},
        {tensor("7", "[2]", "[0,8]", 8), "unknown dtype"},
        {tensor(R"("F32")", "2", "[0,8]", 8), "shape that is no list"},
        {tensor(R"("F32")", "[-2]", "[0,8]", 8), "whole numbers from 0"},
        {tensor(R"("F32")", "[2.0]", "[0,8]", 8), "whole numbers from 0"},
        {tensor(R"("F32")", "[1e300]", "[0,8]", 8), "whole numbers from 0"},
        {tensor(R"("F32")", "[18446744073709551615]", "[0,8]", 8), "whole numbers from 0"},
        {tensor(R"("F32")", "[3]", "[0,8]", 8), "has 8 bytes, but its shape needs 12"},
        {tensor(R"("F16")", "[2]", "[0,8]", 8), "has 8 bytes, but its shape needs 4"},
        {tensor(R"("F32")", "[4294967296,4294967296]", "[0,0]", 0), "size overflows"},
        {tensor(R"("F64")", "[2305843009213693952]", "[0,0]", 0), "size overflows"},
        {tensor(R"("F32")", "[0,9223372036854775807,4]", "[0,0]", 0), "size overflows"},
        {tensor(R"("F32")", "[1000000000]", "[0,4000000000]", 8),
         "its tensors take 4000000000 bytes, but 8 are there"},
        // Offsets.
        {tensor(R"("F32")", "[2]", "[8,0]", 8), "data_offsets that are no [begin, end]"},
        {tensor(R"("F32")", "[2]", "[0,8,16]", 8), "data_offsets that are no [begin, end]"},
        {tensor(R"("F32")", "[2]", "[-8,0]", 8), "whole numbers from 0"},
        {tensor(R"("F32")", "[2]", "[8,16]", 16), "there is a hole at byte 0"},
        {tensor(R"("F32")", "[2]", "[0,8]", 4), "its tensors take 8 bytes, but 4 are there"},
        {tensor(R"("F32")", "[2]", "[0,8]", 12), "its tensors take 8 bytes, but 12 are there"},
        {pair_at("[0,8]", "[0,8]", 8), "tensors overlap at byte 0"},
        {pair_at("[0,8]", "[4,12]", 12), "tensors overlap at byte 4"},
        {pair_at("[0,8]", "[12,20]", 20), "there is a hole at byte 8"},
        {pair_at("[9223372036854775799,9223372036854775807]", "[0,8]", 8),
         "there is a hole at byte 8"},
    };
}

int64_t peak_kilobytes() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

}  // namespace

TEST_CASE("hostile safetensors files are refused with a cause and a way out") {
    const Scratch scratch;
    const int64_t before = peak_kilobytes();
    for (const Case& one : broken_files()) {
        const auto path = scratch.write("x.safetensors", one.bytes);
        const std::string text = error_of([&] { const SafeTensors opened(path); });
        INFO(text << " should say " << one.text);
        CHECK(text.starts_with(c10::str("'", path.string(), "': ")));
        CHECK(text.find(one.text) != std::string::npos);
        CHECK(text.find("; ") != std::string::npos);
        CHECK(text.find('\n') == std::string::npos);
    }
    CHECK(peak_kilobytes() - before < 65'536);
}

TEST_CASE("every way to cut or flip a good file is an Error or a good file") {
    const Scratch scratch;
    const auto good = scratch / "good.safetensors";
    save_safetensors(good, {{"a", at::ones({2, 3})}, {"b", at::ones({5}, torch::kUInt8)}},
                     {{"k", "v"}});
    std::ifstream in(good, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    for (size_t size = 0; size < bytes.size(); ++size) {
        const auto path = scratch.write("cut.safetensors", bytes.substr(0, size));
        INFO("cut to " << size);
        CHECK(!error_of([&] { const SafeTensors opened(path); }).empty());
    }
    for (size_t i = 0; i < bytes.size(); ++i) {
        std::string flipped = bytes;
        flipped[i] = static_cast<char>(flipped[i] ^ (1 << (i % 8)));
        const auto path = scratch.write("flipped.safetensors", flipped);
        error_of([&] {
            const SafeTensors opened(path);
            for (const auto& [name, entry] : opened.entries()) {
                CHECK(opened.tensor(name).defined());
            }
        });
    }
}

TEST_CASE("only files are opened, and no open waits") {
    const Scratch scratch;
    REQUIRE(::mkfifo((scratch / "pipe.safetensors").c_str(), 0600) == 0);
    const auto refused = [](const std::filesystem::path& path, const std::string& cause) {
        return error_of([&] { const SafeTensors opened(path); }).find(cause) != std::string::npos;
    };
    CHECK(refused(scratch / "pipe.safetensors", "is a pipe, not a file"));
    CHECK(refused(scratch.folder(), "is a folder, not a file"));
    CHECK(refused("/dev/zero", "is a device or socket, not a file"));
    CHECK(refused(scratch / "none.safetensors", "no such file; check the path"));
}

TEST_CASE("too many dimensions are refused") {
    const Scratch scratch;
    std::string shape = "[1";
    for (int i = 0; i < 32; ++i) {
        shape += ",1";
    }
    const auto path = scratch.write("x.safetensors", tensor(R"("F32")", shape + "]", "[0,4]", 4));
    CHECK(error_of([&] { const SafeTensors opened(path); }).find("at most 32 numbers") !=
          std::string::npos);
}

TEST_CASE("a large file with a lying header costs no memory") {
    const Scratch scratch;
    const auto path = scratch.write("x.safetensors", c10::str(length(99'000'000), "{"));
    std::filesystem::resize_file(path, int64_t{1} << 36U);  // sparse
    const int64_t before = peak_kilobytes();
    CHECK(error_of([&] { const SafeTensors opened(path); }).find("broken JSON") !=
          std::string::npos);
    CHECK(peak_kilobytes() - before < 131'072);
}

}  // namespace weft
