// How long a thread waits for the others of a parallel loop before it lets another program have its
// core.
//
// libgomp spins 300,000 rounds, which is 10 ms and more where a round's `pause` takes 140 cycles.
// Beside another program the awaited thread is often the one without a core, so that a run on two
// threads takes longer than on one. libgomp reads the number from the environment while it loads,
// so the program starts itself anew with it before the constructors of its libraries run; nothing
// but their relocation (about 15 ms) is done twice.
#include <sys/auxv.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstddef>
#include <cstring>

// A sanitizer's runtime has to come first there.
#ifndef WEFT_SANITIZED

namespace {

// Some 50 microseconds: threads of a quiet machine still meet without the kernel.
constexpr const char* chosen_wait = "GOMP_SPINCOUNT=1000";
// Who sets one of these has chosen.
constexpr std::array known{"GOMP_SPINCOUNT=", "OMP_WAIT_POLICY="};

bool chosen_by_user(const char* const* environment) {
    for (; *environment != nullptr; ++environment) {
        for (const char* name : known) {
            if (std::strncmp(*environment, name, std::strlen(name)) == 0) {
                return true;
            }
        }
    }
    return false;
}

/// Starts the program anew with the shorter wait. Comes back where the user has chosen, where
/// nothing says which file the program is, and where its environment is out of the ordinary: then
/// it goes on as it is.
void wait_shorter(int /*argc*/, char** argv, char** environment) {
    // No loader's address: the loader itself was started, with the program as an argument.
    if (chosen_by_user(environment) || getauxval(AT_BASE) == 0) {
        return;
    }
    std::array<char, PATH_MAX> program{};
    const ssize_t length = readlink("/proc/self/exe", program.data(), program.size() - 1);
    std::array<char*, 4096> longer{};
    size_t count = 0;
    while (environment[count] != nullptr) {
        ++count;
    }
    if (length <= 0 || count + 2 > longer.size()) {
        return;
    }
    std::memcpy(longer.data(), environment, count * sizeof(char*));
    longer[count] = const_cast<char*>(chosen_wait);
    execve(program.data(), argv, longer.data());
}

}  // namespace

// Functions listed here run before the constructors of every library (ELF gABI, "Initialization and
// Termination").
__attribute__((section(".preinit_array"),
               used)) static void (*const before_libraries)(int, char**, char**) = wait_shorter;

#endif
