#include "tests/cli/program.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "tests/fixtures/tiny_model.h"

namespace weft {
namespace {

std::string read_text(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// Becomes `command` with its output in files; runs in the child, never returns.
[[noreturn]] void become(const std::vector<std::string>& command,
                         const std::filesystem::path& models, const TemporaryFolder& folder) {
    const auto redirect = [&](const char* name, int to) {
        const int file = open((folder / name).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        dup2(file, to);
    };
    redirect("out", STDOUT_FILENO);
    redirect("error", STDERR_FILENO);
    if (!models.empty()) {
        setenv("WEFT_MODELS", models.c_str(), 1);
    }
    std::vector<char*> arguments;
    arguments.reserve(command.size() + 1);
    for (const auto& argument : command) {
        arguments.push_back(const_cast<char*>(argument.c_str()));
    }
    arguments.push_back(nullptr);
    execvp(arguments[0], arguments.data());
    _exit(127);
}

double seconds(const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

Finished run(const std::vector<std::string>& command, const std::filesystem::path& models,
             const std::function<void(int)>& meanwhile) {
    const TemporaryFolder folder;
    const pid_t pid = fork();
    if (pid < 0) {
        throw std::runtime_error("cannot start a process");
    }
    if (pid == 0) {
        become(command, models, folder);
    }
    int status = 0;
    rusage usage{};
    while (wait4(pid, &status, meanwhile ? WNOHANG : 0, &usage) == 0) {
        meanwhile(pid);
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return {.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
            .out = read_text(folder / "out"),
            .error = read_text(folder / "error"),
            .peak_bytes = int64_t{usage.ru_maxrss} * 1024,
            .cpu_s = seconds(usage.ru_utime) + seconds(usage.ru_stime)};
}

}  // namespace

int64_t Finished::error_lines() const {
    std::istringstream lines(error);
    int64_t count = 0;
    for (std::string line; std::getline(lines, line);) {
        count += line.rfind("weft: error:", 0) == 0 ? 1 : 0;
    }
    return count;
}

Finished weft_program(const Running& running) {
    std::vector<std::string> command{WEFT_BINARY_DIR "/bin/weft"};
    command.insert(command.end(), running.arguments.begin(), running.arguments.end());
    return run(command, running.models, running.meanwhile);
}

Finished tool(const std::vector<std::string>& command) {
    return run(command, {}, {});
}

}  // namespace weft
