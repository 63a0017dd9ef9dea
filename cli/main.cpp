// weft: parse, run one command, turn what it throws into one line and an exit code.
#include <c10/util/Exception.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <csignal>
#include <cstdio>
#include <new>
#include <sstream>
#include <string>

#include "cli/command.h"
#include "diffusion/device.h"
#include "io/files/error.h"
#ifdef WEFT_WITH_VIDEO
#include "io/media/writer.h"
#endif

namespace weft {
namespace {

constexpr int exit_done = 0;
constexpr int exit_failed = 1;
constexpr int exit_usage = 2;
constexpr int exit_bug = 3;
constexpr int exit_interrupted = 130;

constexpr std::array commands{
#ifdef WEFT_WITH_VIDEO
    Command{"stylize", "Restyle a whole clip or picture in the prompt's style", add_stylize},
    Command{"generate", "Make a picture from text", add_generate},
    Command{"join", "Join the parts of an edit to one file", add_join},
    Command{"deflicker", "Take the flicker out of a clip", add_deflicker},
    Command{"measure", "Say how steady and how faithful an edit is", add_measure},
    Command{"inspect", "Say what a media file or a model is", add_inspect},
    Command{"doctor", "Say what this machine can run", add_doctor},
#endif
    Command{"train", "Train a model from a recipe", add_train},
    Command{"convert", "Convert a model between layouts and dtypes", add_convert},
    Command{"probe", "Run one model component on tensors from a file", add_probe},
};

// The one piece of process state: a signal handler can reach nothing else.
std::atomic<bool> stop_requested{false};

extern "C" void on_stop_signal(int /*signal*/) {
    if (stop_requested.exchange(true)) {
        _exit(exit_interrupted);
    }
}

void install_signal_handlers() {
    struct sigaction action {};

    action.sa_handler = on_stop_signal;
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    // A closed pipe (`weft inspect x | head`) or a file-size limit becomes a failed write.
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, nullptr);
    sigaction(SIGXFSZ, &action, nullptr);
}

std::filesystem::path own_path(const char* argv0) {
    std::error_code failed;
    auto path = std::filesystem::read_symlink("/proc/self/exe", failed);
    return failed ? std::filesystem::absolute(argv0) : path;
}

/// One `weft: error:` line for each line of `text`.
void print_error(const std::string& text) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        std::fprintf(stderr, "weft: error: %s\n", line.c_str());
    }
}

/// The error that `error` was thrown on top of (std::throw_with_nested); null where there is none.
std::exception_ptr cause_of(const std::exception& error) {
    const auto* nested = dynamic_cast<const std::nested_exception*>(&error);
    return nested == nullptr ? nullptr : nested->nested_ptr();
}

/// Prints the causes below the outermost error, one a line.
void print_causes(const std::exception& error) {
    for (auto cause = cause_of(error); cause != nullptr;) {
        try {
            std::rethrow_exception(cause);
        } catch (const std::exception& below) {
            std::fprintf(stderr, "weft:   because: %s\n", below.what());
            cause = cause_of(below);
        } catch (...) {
            std::fprintf(stderr, "weft:   because: an unknown error\n");
            cause = nullptr;
        }
    }
}

bool out_of_memory(const std::string& message) {
    return message.find("can't allocate memory") != std::string::npos ||
           message.find("out of memory") != std::string::npos;
}

int report_memory() {
    print_error("out of memory; use a smaller --size, or close other programs");
    return exit_failed;
}

int report_bug(const std::string& message) {
    print_error("internal error, please report it: " + message);
    return exit_bug;
}

/// Turns the exception in flight into messages and an exit code.
int report(const Context& context) {
    try {
        throw;
    } catch (const UsageError& error) {
        print_error(error.what());
        return exit_usage;
#ifdef WEFT_WITH_VIDEO
    } catch (const ClosedPipe&) {
        return exit_failed;  // who reads the result has seen enough
#endif
    } catch (const Error& error) {
        print_error(error.what());
        if (context.verbosity == Verbosity::verbose) {
            print_causes(error);
        }
        return exit_failed;
    } catch (const Interrupted& stopped) {
        std::fprintf(stderr, "weft: interrupted: %s\n", stopped.what());
        return exit_interrupted;
    } catch (const std::bad_alloc&) {
        return report_memory();
    } catch (const c10::Error& error) {
        const std::string message = error.what_without_backtrace();
        return out_of_memory(message) ? report_memory() : report_bug(message);
    } catch (const std::exception& error) {
        return report_bug(error.what());
    } catch (...) {
        return report_bug("an unknown exception");
    }
}

/// Help and version go to stdout with 0; everything CLI11 objects to goes to stderr with 2.
int report_parse(const CLI::App& app, const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
        return app.exit(error) == 0 ? exit_done : exit_failed;
    }
    const auto chosen = app.get_subcommands();
    const std::string command = chosen.empty() ? "weft" : "weft " + chosen.front()->get_name();
    print_error(std::string(error.what()) + "; see '" + command + " -h'");
    return exit_usage;
}

/// A first word that is no command is named as such, with what there is.
void check_command_name(int argc, const char* const* argv) {
    const std::string name = argc > 1 ? argv[1] : "-h";
    std::string known;
    for (const Command& command : commands) {
        if (name == command.name) {
            return;
        }
        known += std::string(known.empty() ? "" : ", ") + command.name;
    }
    if (name.empty() || name.front() != '-') {
        throw UsageError(name, "no such command", "commands: " + known);
    }
}

void add_global_options(CLI::App& app, Context& context) {
    app.set_version_flag("--version", "weft " WEFT_VERSION, "Print the version");
    app.set_help_flag("-h,--help", "Print this help");
    app.require_subcommand(1);
    app.fallthrough();
    app.add_flag_callback(
        "-q,--quiet", [&] { context.verbosity = Verbosity::quiet; }, "Print errors only");
    app.add_flag_callback(
        "-v,--verbose", [&] { context.verbosity = Verbosity::verbose; },
        "Also print timings, memory and details");
    app.footer(
        "'weft COMMAND -h' explains a command. Exit codes: 0 done, 1 failed, 2 wrong usage, "
        "3 bug, 130 interrupted.");
}

int run(int argc, const char* const* argv) {
    Context context{.program = own_path(argv[0]), .stop = &stop_requested};
    CLI::App app("weft: video synthesis and editing with diffusion models", "weft");
    try {
        add_global_options(app, context);
        for (const Command& command : commands) {
            command.add(*app.add_subcommand(command.name, command.help), context);
        }
        check_command_name(argc, argv);
        app.parse(argc, argv);
        std::fflush(stdout);
        return exit_done;
    } catch (const CLI::ParseError& error) {
        return report_parse(app, error);
    } catch (...) {
        return report(context);
    }
}

}  // namespace
}  // namespace weft

// NOLINTNEXTLINE(bugprone-exception-escape): only where there is no memory left to report an error
int main(int argc, char** argv) {
    weft::tune_allocator();
    weft::install_signal_handlers();
    return weft::run(argc, argv);
}
