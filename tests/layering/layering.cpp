// Enforces the arrows of the tree: which folder may include which, and which library's headers may
// appear where. Reads the #include lines of every source; a new folder or library is one line
// below.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

namespace fs = std::filesystem;

namespace {

// A folder and what its files may include of the tree; the deepest folder that matches counts.
struct Arrow {
    std::string_view folder;
    std::vector<std::string_view> may_include;
};

const std::vector<Arrow> arrows = {
    {"io/files", {"io/files"}},
    {"io/media", {"io/media", "io/files"}},
    {"diffusion", {"diffusion", "io/files"}},
    {"temporal", {"temporal", "io/files"}},
    {"video", {"video", "io/files", "io/media", "diffusion", "temporal"}},
    {"cli", {"cli", "video", "io/files", "io/media", "diffusion", "temporal"}},
    {"plugins", {"plugins"}},
    {"samples", {"samples", "video", "io/files", "io/media", "diffusion", "temporal"}},
    {"tests", {"tests", "cli", "video", "io/files", "io/media", "diffusion", "temporal"}},
};

enum class In { headers_and_sources, sources };

// A library by the start of its header names, the folders that may use it, and in which files. Of
// several lines for one library, one must allow it.
struct Library {
    std::string_view start;
    std::vector<std::string_view> folders;
    In files;
};

const std::vector<Library> libraries = {
    {"libav", {"io/media", "tests/io/media", "tests/fuzz", "samples"}, In::headers_and_sources},
    {"libsw", {"io/media", "tests/io/media", "samples"}, In::headers_and_sources},
    {"OpenColorIO/", {"io/media"}, In::sources},
    {"opencv2/", {"temporal", "tests/temporal"}, In::sources},
    {"nlohmann/", {"io/files"}, In::sources},  // files are read through io/files/config.h
    {"nlohmann/", {"cli", "tests"}, In::headers_and_sources},  // printed reports
    {"toml++/", {"video", "diffusion/train"}, In::sources},
    {"CLI/", {"cli"}, In::headers_and_sources},
    {"catch2/", {"tests"}, In::headers_and_sources},
    {"torch/torch.h",
     {},
     In::sources},  // costs every file seconds; torch/types.h has the operations
    {"torch/extension.h", {}, In::sources},  // Python
    {"Python.h", {}, In::sources},
};

bool inside(std::string_view path, std::string_view folder) {
    return path.starts_with(folder) && path.size() > folder.size() && path[folder.size()] == '/';
}

bool inside_any(std::string_view path, const std::vector<std::string_view>& folders) {
    return std::any_of(folders.begin(), folders.end(),
                       [&](std::string_view folder) { return inside(path, folder); });
}

const Arrow* arrow_of(std::string_view file) {
    const Arrow* best = nullptr;
    for (const Arrow& arrow : arrows) {
        if (inside(file, arrow.folder) &&
            (best == nullptr || arrow.folder.size() > best->folder.size())) {
            best = &arrow;
        }
    }
    return best;
}

bool is_header(std::string_view file) {
    return file.ends_with(".h");
}

// What is wrong with `file` (a path from the root) including <name>; empty where nothing is.
std::string library_problem(std::string_view file, std::string_view name) {
    std::string problem;
    for (const Library& library : libraries) {
        if (!name.starts_with(library.start)) {
            continue;
        }
        if (!inside_any(file, library.folders)) {
            problem = problem.empty() ? "this library does not belong in this folder" : problem;
        } else if (library.files == In::sources && is_header(file)) {
            problem = "this library stays in .cpp files";
        } else {
            return {};
        }
    }
    return problem;
}

// The same for "name".
std::string arrow_problem(std::string_view file, std::string_view name) {
    const Arrow* from = arrow_of(file);
    if (from == nullptr) {
        return "its folder has no line in the table of arrows";
    }
    if (arrow_of(name) == nullptr) {
        return "includes are written from the root of the tree";
    }
    return inside_any(name, from->may_include) ? "" : "no arrow leads there";
}

// All problems of one file's text, one a line.
std::string problems(const std::string& file, std::istream& text) {
    static const std::regex include(R"re(^\s*#\s*include\s*([<"])([^>"]+)[>"].*)re");
    std::string found;
    std::string line;
    int number = 0;
    bool once = false;
    while (std::getline(text, line)) {
        ++number;
        once = once || line.starts_with("#pragma once");
        std::smatch match;
        if (!std::regex_match(line, match, include)) {
            continue;
        }
        const std::string name = match[2];
        const std::string problem =
            match[1] == "<" ? library_problem(file, name) : arrow_problem(file, name);
        if (!problem.empty()) {
            found.append(file).append(":").append(std::to_string(number)).append(": ");
            found.append(name).append(": ").append(problem).append("\n");
        }
    }
    if (is_header(file) && !once) {
        found.append(file).append(": has no #pragma once\n");
    }
    if (number > 800) {
        found.append(file).append(": has more than 800 lines\n");
    }
    return found;
}

std::string problems(const std::string& file, const std::string& text) {
    std::istringstream stream(text);
    return problems(file, stream);
}

std::vector<fs::path> sources(const fs::path& root) {
    std::vector<fs::path> found;
    for (const Arrow& arrow : arrows) {
        const fs::path folder = root / arrow.folder;
        if (!fs::is_directory(folder)) {
            continue;
        }
        for (const auto& entry : fs::recursive_directory_iterator(folder)) {
            const auto ending = entry.path().extension();
            if (ending == ".h" || ending == ".cpp") {
                found.push_back(entry.path());
            }
        }
    }
    return found;
}

}  // namespace

TEST_CASE("every include of the tree follows an arrow") {
    const fs::path root = WEFT_SOURCE_DIR;
    const auto files = sources(root);
    CHECK(files.size() > 50);
    std::string found;
    for (const fs::path& path : files) {
        std::ifstream text(path);
        found += problems(fs::relative(path, root).string(), text);
    }
    INFO(found);
    CHECK(found.empty());
}

TEST_CASE("arrows that do not exist are found") {
    const auto refused = [](const std::string& file, const std::string& include) {
        return !problems(file, "#pragma once\n#include " + include + "\n").empty();
    };
    CHECK(refused("io/files/a.cpp", "\"diffusion/unet.h\""));
    CHECK(refused("io/files/a.cpp", "\"io/media/frame.h\""));
    CHECK(refused("io/media/a.h", "\"video/plan.h\""));
    CHECK(refused("diffusion/a.cpp", "\"io/media/frame.h\""));
    CHECK(refused("diffusion/a.cpp", "\"temporal/noise.h\""));
    CHECK(refused("temporal/a.cpp", "\"diffusion/unet.h\""));
    CHECK(refused("video/a.cpp", "\"cli/command.h\""));
    CHECK(refused("samples/a.cpp", "\"cli/command.h\""));
    CHECK(refused("plugins/ofx/a.cpp", "\"video/plan.h\""));
    CHECK(refused("video/a.cpp", "\"plan.h\""));
    CHECK(refused("video/a.cpp", "\"../io/files/error.h\""));
    CHECK(refused("diffusion/a.cpp", "<libavcodec/avcodec.h>"));
    CHECK(refused("video/a.cpp", "<opencv2/core.hpp>"));
    CHECK(refused("temporal/a.h", "<opencv2/core.hpp>"));
    CHECK(refused("io/media/a.h", "<OpenColorIO/OpenColorIO.h>"));
    CHECK(refused("video/a.cpp", "<nlohmann/json.hpp>"));
    CHECK(refused("diffusion/a.h", "<torch/torch.h>"));
    CHECK(refused("diffusion/a.cpp", "<torch/torch.h>"));
    CHECK(refused("diffusion/a.cpp", "<CLI/CLI.hpp>"));
    CHECK(refused("io/files/a.h", "<nlohmann/json.hpp>"));
    CHECK(!refused("io/files/a.cpp", "<nlohmann/json.hpp>"));
    CHECK(!refused("cli/a.h", "<nlohmann/json.hpp>"));
    CHECK(!refused("video/a.cpp", "\"temporal/noise.h\""));
    CHECK(!refused("temporal/a.cpp", "<opencv2/core.hpp>"));
    CHECK(!refused("io/media/a.cpp", "<libavcodec/avcodec.h>"));
    CHECK(!refused("tests/video/a.cpp", "<catch2/catch.hpp>"));
    CHECK(!refused("diffusion/a.h", "<torch/types.h>"));
}

TEST_CASE("headers guard themselves and files stay short") {
    CHECK(problems("video/a.h", std::string("#include <string>\n")).find("#pragma once") !=
          std::string::npos);
    CHECK(problems("video/a.cpp", std::string(801, '\n')).find("more than 800 lines") !=
          std::string::npos);
    CHECK(problems("video/a.cpp", std::string(800, '\n')).empty());
}
