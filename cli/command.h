#pragma once

#include <atomic>
#include <filesystem>

namespace CLI {
class App;
}

namespace weft {

/// How much goes to stderr: errors only; progress and warnings; also timings and details.
enum class Verbosity { quiet, normal, verbose };

/// What every command gets from main. Outlives all commands. Thread-safe: `stop` only.
struct Context {
    /// The running program's own path, symbolic links resolved: models are looked up beside it.
    std::filesystem::path program;
    Verbosity verbosity = Verbosity::normal;
    /// Set by the first Ctrl-C or SIGTERM. A long command looks at it between frames or steps,
    /// leaves its files clean and throws Interrupted. A second signal ends the process at once.
    const std::atomic<bool>* stop = nullptr;

    bool stopping() const { return stop != nullptr && stop->load(); }
};

/// One line of the command table in main.cpp. `add` gets the subcommand, already made with its name
/// and help; it adds options (bound to a shared_ptr of an options struct that the callback keeps)
/// and sets `command.callback(...)`, which does the work.
///
/// A command prints results to stdout and nothing else there; it reports what went wrong by
/// throwing: UsageError -> exit code 2, Error -> 1, Interrupted -> 130, anything else -> 3 (a bug).
///
/// To add one: a file cli/NAME.cpp that defines `void add_NAME(CLI::App& command, Context&
/// context)`, its declaration below, and its line in the table.
struct Command {
    const char* name;
    const char* help;
    void (*add)(CLI::App& command, Context& context);
};

void add_train(CLI::App& command, Context& context);
void add_probe(CLI::App& command, Context& context);
void add_stylize(CLI::App& command, Context& context);
void add_generate(CLI::App& command, Context& context);
void add_join(CLI::App& command, Context& context);
void add_deflicker(CLI::App& command, Context& context);
void add_measure(CLI::App& command, Context& context);
void add_inspect(CLI::App& command, Context& context);
void add_convert(CLI::App& command, Context& context);
void add_doctor(CLI::App& command, Context& context);

}  // namespace weft
