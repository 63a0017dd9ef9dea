#include <c10/util/StringUtil.h>
#include <sys/stat.h>

#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <fstream>

#include "io/files/safetensors.h"
#include "tests/cli/program.h"
#include "tests/fixtures/tiny_model.h"

using namespace weft;

namespace {

namespace fs = std::filesystem;

constexpr int64_t max_bytes = 200'000'000;
constexpr double max_seconds = 2;

std::string length(uint64_t value) {
    std::string bytes(sizeof value, '\0');
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
}

std::string file(const std::string& header, size_t data_bytes) {
    return c10::str(length(header.size()), header, std::string(data_bytes, '\0'));
}

// A file whose one tensor has these fields.
std::string tensor(const std::string& dtype, const std::string& shape, const std::string& offsets,
                   size_t data_bytes = 8) {
    return file(c10::str(R"({"a":{"dtype":")", dtype, R"(","shape":)", shape, R"(,"data_offsets":)",
                         offsets, "}}"),
                data_bytes);
}

std::string two_tensors(const std::string& first, const std::string& second, size_t data_bytes) {
    const std::string head = R"({"dtype":"F32","shape":[2],"data_offsets":)";
    return file(c10::str(R"({"a":)", head, first, R"(},"b":)", head, second, "}}"), data_bytes);
}

struct HostileFile {
    const char* what;
    std::string bytes;
    const char* says;
};

std::vector<HostileFile> hostile_files() {
    const std::string deep(100'000, '[');
    return {
        {"empty", "", "too few for a safetensors file"},
        {"header longer than the file", c10::str(length(4000), "{}"), "claims 4000 bytes"},
        {"8 EiB header", c10::str(length(uint64_t{1} << 63U), "{}"), "no safetensors file"},
        {"overlapping offsets", two_tensors("[0,8]", "[4,12]", 12), "overlap"},
        {"negative offset", tensor("F32", "[2]", "[-8,0]"), "whole numbers from 0"},
        {"wrong shape", tensor("F32", "[3]", "[0,8]"), "its shape needs 12"},
        {"shape that overflows", tensor("F32", "[4611686018427387904,8]", "[0,8]"), "overflows"},
        {"unknown dtype", tensor("F33", "[2]", "[0,8]"), "unknown dtype 'F33'"},
        {"duplicate key", file(R"({"a":{},"a":{}})", 0), "'a' is given twice"},
        {"truncated data", tensor("F32", "[1000]", "[0,4000]"), "take 4000 bytes, but 8"},
        {"deep nesting", file(c10::str(R"({"a":)", deep, "}"), 0), "nested deeper"},
        {"invalid UTF-8", file("{\"\xff\xfe\":1}", 0), "invalid UTF-8"},
        {"control characters", file(R"({"a\u001b[2J\n":1})", 0), "\\x1b[2J"},
        {"zip pickle", c10::str("PK\x03\x04", std::string(64, 'x')), "pickle"},
        {"plain pickle", c10::str("\x80\x02}q", std::string(64, 'x')), "pickle"},
        {"no JSON", file("{\"a\":", 0), "broken JSON"},
    };
}

// One clear line, exit code 1, no time and no memory to speak of.
void check_refused(const std::vector<std::string>& arguments, const std::string& says) {
    const Finished run = weft_program({.arguments = arguments, .models = {}, .meanwhile = {}});
    INFO(c10::Join(" ", arguments) << "\n" << run.error << "should say " << says);
    CHECK(run.code == 1);
    CHECK(run.error_lines() == 1);
    CHECK(run.error.find('\n') == run.error.size() - 1);
    CHECK(run.error.find(says) != std::string::npos);
    CHECK(run.out.empty());
    if (memory_counts) {
        CHECK(run.peak_bytes < max_bytes);
    }
    CHECK(run.cpu_s < max_seconds);
}

void write(const fs::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
}

std::vector<std::string> generate(const fs::path& model, const fs::path& out) {
    return {"generate", "-p", "a ball", "--model", model.string(), "-o", out.string()};
}

// A tiny model that a test may break.
struct Broken {
    TemporaryFolder folder;
    fs::path model = folder / "model";

    Broken() { write_tiny_model(model, TinyFamily::plain); }

    void refuse(const std::string& says) const {
        check_refused(generate(model, folder / "out.png"), says);
    }
};

}  // namespace

TEST_CASE("hostile model files are refused in one line, quickly and small", "[hostile]") {
    const TemporaryFolder folder;
    for (const HostileFile& hostile : hostile_files()) {
        INFO(hostile.what);
        const fs::path path = folder / "model.safetensors";
        write(path, hostile.bytes);
        check_refused({"inspect", path.string()}, hostile.says);
        check_refused(generate(path, folder / "out.png"), hostile.says);
    }
    write(folder / "model.ckpt", "PK\x03\x04 archive/data.pkl and more of it");
    check_refused({"inspect", (folder / "model.ckpt").string()}, "pickle");
    check_refused(generate(folder / "model.ckpt", folder / "out.png"), "convert it once");
}

TEST_CASE("a hole of 64 GiB with a lying header is refused at once", "[hostile]") {
    const TemporaryFolder folder;
    const fs::path path = folder / "model.safetensors";
    write(path, c10::str(length(99'000'000), "{\"a\":"));
    fs::resize_file(path, int64_t{1} << 36U);
    check_refused({"inspect", path.string()}, "broken JSON");
}

TEST_CASE("a folder in a file's place and a folder that is no model", "[hostile]") {
    const TemporaryFolder folder;
    fs::create_directory(folder / "model.safetensors");
    check_refused({"inspect", (folder / "model.safetensors").string()}, "model_index.json");
    check_refused(generate(folder / "model.safetensors", folder / "out.png"), "model_index.json");
}

// Each border that reads safetensors, with one file of each kind of damage.
TEST_CASE("hostile files beside a good model", "[hostile]") {
    const TemporaryFolder folder;
    write_tiny_model(folder / "model", TinyFamily::plain);
    const fs::path path = folder / "extra.safetensors";
    const std::string file = path.string(), out = (folder / "out.safetensors").string();
    const std::vector<HostileFile> all = hostile_files();
    const auto refused = [&](size_t i, const std::vector<std::string>& arguments) {
        INFO(all[i].what);
        write(path, all[i].bytes);
        check_refused(arguments, all[i].says);
    };
    const auto with = [&](const char* option) {
        std::vector<std::string> arguments = generate(folder / "model", folder / "out.png");
        arguments.insert(arguments.end(), {option, file});
        return arguments;
    };
    const std::string model = (folder / "model").string();
    for (size_t i = 0; i < all.size(); ++i) {
        // In turn, as each costs a start of the program.
        const std::array<std::vector<std::string>, 5> borders{
            {with("--lora"),
             with("--embedding"),
             with("--vae"),
             {"convert", file, out},
             {"probe", "unet", "--model", model, "--in", file, "--out", out}}};
        refused(i, borders.at(i % borders.size()));
        refused(i, borders.at((i + 1) % borders.size()));
    }
    CHECK_FALSE(fs::exists(out));
}

TEST_CASE("a pipe in a file's place is not waited for", "[hostile]") {
    const Broken broken;
    const fs::path pipe = broken.folder / "pipe.safetensors";
    REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
    std::vector<std::string> with_lora = generate(broken.model, broken.folder / "out.png");
    with_lora.insert(with_lora.end(), {"--lora", pipe.string()});
    check_refused(with_lora, "is a pipe, not a file");
    const fs::path weights = broken.model / "unet/diffusion_pytorch_model.safetensors";
    fs::remove(weights);
    fs::rename(pipe, weights);
    broken.refuse("holds no .safetensors file");
}

TEST_CASE("a shard index that points outside its folder", "[hostile]") {
    const Broken broken;
    for (const std::string target : {"../../secret.safetensors", "/etc/passwd", ".."}) {
        fs::remove(broken.model / "unet/diffusion_pytorch_model.safetensors");
        write(broken.model / "unet/diffusion_pytorch_model.safetensors.index.json",
              c10::str(R"({"weight_map":{"a":")", target, R"("}})"));
        broken.refuse("points outside its folder");
    }
}

TEST_CASE("weights that are no numbers", "[hostile]") {
    const Broken broken;
    const fs::path path = broken.model / "unet/diffusion_pytorch_model.safetensors";
    for (const float bad : {std::nanf(""), INFINITY}) {
        NamedTensors tensors;
        {
            const SafeTensors file(path);
            for (const auto& [name, entry] : file.entries())
                tensors.emplace_back(name, file.tensor(name).clone());
        }
        tensors.front().second.view(-1)[0] = bad;
        save_safetensors(path, tensors);
        broken.refuse("holds NaN or infinity");
        check_refused({"convert", broken.model.string(), (broken.folder / "to").string()},
                      "holds NaN or infinity");
    }
}

TEST_CASE("configs that lie about the weights", "[hostile]") {
    const Broken broken;
    const fs::path config = broken.model / "unet/config.json";
    std::ifstream in(config);
    const std::string good{std::istreambuf_iterator<char>(in), {}};
    const auto with = [&](const std::string& from, const std::string& to) {
        std::string text = good;
        const size_t at = text.find(from);
        REQUIRE(at != std::string::npos);
        return text.replace(at, from.size(), to);
    };
    write(config, with("\"in_channels\": 4", "\"in_channels\": 60000"));
    broken.refuse("60000");
    write(config, with("\"sample_size\": 8", "\"sample_size\": -8"));
    broken.refuse("sample_size");
    write(config, with("[8, 16]", "[8, 32]"));
    broken.refuse("but the model needs");
    write(config, std::string(100'000, '['));
    broken.refuse("config.json");
    write(config, "");
    broken.refuse("config.json");
}

TEST_CASE("a damaged tokenizer", "[hostile]") {
    const Broken broken;
    const fs::path vocab = broken.model / "tokenizer/vocab.json";
    const fs::path merges = broken.model / "tokenizer/merges.txt";
    const std::string pairs(size_t{1} << 25U, 'x');
    write(merges, pairs);
    broken.refuse("too large for a list of merges");
    write(merges, "a b c\n");
    broken.refuse("no pair of tokens");
    write(vocab, R"({"a":0,"a":1})");
    broken.refuse("'a' is given twice");
    write(vocab, R"({"a":4294967296})");
    broken.refuse("vocab.json");
}

TEST_CASE("a pickle where the weights should be", "[hostile]") {
    const Broken broken;
    fs::remove(broken.model / "unet/diffusion_pytorch_model.safetensors");
    write(broken.model / "unet/diffusion_pytorch_model.bin", "PK\x03\x04");
    broken.refuse("is a PyTorch pickle");
}
