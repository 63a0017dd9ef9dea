#include "diffusion/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>
#include <malloc.h>

#include <array>
#include <climits>
#include <filesystem>
#include <fstream>
#include <optional>

#include "diffusion/allocator.h"
#include "io/files/error.h"

namespace weft {

namespace {

// The part of the CUDA driver's interface (cuda.h) that is asked before LibTorch's library is
// loaded.
class CudaDriver {
  public:
    struct Device {
        std::string name;
        size_t memory_bytes = 0;
        int major = 0;
        int minor = 0;
    };

    // nullopt where there is no driver or it does not start.
    static std::optional<CudaDriver> open() {
        CudaDriver driver;
        driver.library_ = dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
        if (driver.library_ == nullptr)
            return std::nullopt;
        const auto start = driver.function<int(unsigned)>("cuInit");
        if (start == nullptr || start(0) != 0)
            return std::nullopt;
        return driver;
    }

    int count() const {
        int devices = 0;
        const auto ask = function<int(int*)>("cuDeviceGetCount");
        return ask != nullptr && ask(&devices) == 0 ? devices : 0;
    }

    Device device(int index) const {
        constexpr int major_attribute = 75;
        constexpr int minor_attribute = 76;
        Device result;
        std::array<char, 256> name{};
        if (const auto ask = function<int(char*, int, int)>("cuDeviceGetName"))
            ask(name.data(), static_cast<int>(name.size()) - 1, index);
        if (const auto ask = function<int(size_t*, int)>("cuDeviceTotalMem_v2"))
            ask(&result.memory_bytes, index);
        if (const auto ask = function<int(int*, int, int)>("cuDeviceGetAttribute")) {
            ask(&result.major, major_attribute, index);
            ask(&result.minor, minor_attribute, index);
        }
        result.name = name.data();
        return result;
    }

  private:
    CudaDriver() = default;

    template <typename Signature>
    Signature* function(const char* name) const {
        return reinterpret_cast<Signature*>(dlsym(library_, name));
    }

    void* library_ = nullptr;  // stays loaded until the process ends
};

// The folder of the LibTorch that this process runs on.
std::filesystem::path libtorch_folder() {
    Dl_info info{};
    if (dladdr(reinterpret_cast<const void*>(&at::get_num_threads), &info) == 0)
        return {};
    return std::filesystem::path(info.dli_fname).parent_path();
}

// Loads LibTorch's CUDA library; empty when it runs, else what is missing.
std::string load_cuda() {
    const std::optional<CudaDriver> driver = CudaDriver::open();
    if (!driver)
        return "no NVIDIA driver on this machine";
    if (driver->count() == 0)
        return "the NVIDIA driver sees no device";
    const std::filesystem::path library = libtorch_folder() / "libtorch_cuda.so";
    std::error_code ignored;
    if (!std::filesystem::exists(library, ignored))
        return "LibTorch's CUDA library is not installed beside libtorch_cpu.so";
    if (dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr)
        return c10::str("LibTorch's CUDA library does not load: ",
                        dlerror());  // NOLINT(concurrency-mt-unsafe): runs once
    if (!at::globalContext().hasCUDA())
        return "LibTorch's CUDA library does not fit the driver";
    return {};
}

torch::Device parse_device(const std::string& text) {
    constexpr size_t prefix = 5;  // "cuda:"
    if (text == "cpu")
        return torch::kCPU;
    if (text == "cuda")
        return {torch::kCUDA, 0};
    const bool numbered = text.starts_with("cuda:") && text.size() > prefix &&
                          text.size() <= prefix + 2 &&
                          text.find_first_not_of("0123456789", prefix) == std::string::npos;
    if (!numbered)
        throw UsageError("--device", "'" + text + "' is no device",
                         "take auto, cpu, cuda or cuda:N");
    return {torch::kCUDA, static_cast<c10::DeviceIndex>(std::stoi(text.substr(prefix)))};
}

torch::Device choose_device(const std::string& text) {
    if (text == "auto")
        return cuda_usable() ? torch::Device(torch::kCUDA, 0) : torch::Device(torch::kCPU);
    const torch::Device device = parse_device(text);
    if (!device.is_cuda())
        return device;
    if (!cuda_usable())
        throw Error("--device " + text, cuda_problem(), "take --device cpu or auto");
    const c10::DeviceIndex count = at::detail::getCUDAHooks().deviceCount();
    if (device.index() >= count)
        throw Error("--device " + text,
                    c10::str("there is no such GPU, only ", static_cast<int>(count)),
                    "take cuda:0");
    return device;
}

torch::ScalarType automatic_dtype(const torch::Device& device) {
    constexpr int ampere = 8;
    if (device.is_cpu())
        return cpu_has_bf16() ? torch::kBFloat16 : torch::kFloat32;
    const std::optional<CudaDriver> driver = CudaDriver::open();
    return driver && driver->device(device.index()).major >= ampere ? torch::kBFloat16
                                                                    : torch::kFloat16;
}

torch::ScalarType choose_dtype(const std::string& text, const torch::Device& device) {
    if (text == "auto")
        return automatic_dtype(device);
    if (text == "f32")
        return torch::kFloat32;
    if (text == "bf16")
        return torch::kBFloat16;
    if (text == "f16")
        return torch::kFloat16;
    throw UsageError("--dtype", "'" + text + "' is no precision", "take auto, f32, bf16 or f16");
}

// The text after "KEY : " of the first such line of /proc/cpuinfo.
std::string cpu_field(const std::string& key) {
    std::ifstream info("/proc/cpuinfo");
    std::string line;
    while (std::getline(info, line)) {
        const size_t colon = line.find(':');
        if (line.starts_with(key) && colon != std::string::npos)
            return line.substr(std::min(colon + 2, line.size()));
    }
    return {};
}

bool cpu_has(const std::string& feature) {
    static const std::string flags =
        c10::str(" ", cpu_field("flags"), " ", cpu_field("Features"), " ");
    return flags.find(c10::str(" ", feature, " ")) != std::string::npos;
}

}  // namespace

Placement choose_placement(const DeviceChoice& choice) {
    const torch::Device device = choose_device(choice.device);
    return {.device = device, .dtype = choose_dtype(choice.dtype, device)};
}

std::string cuda_problem() {
    static const std::string problem = load_cuda();
    return problem;
}

bool cuda_usable() {
    return cuda_problem().empty();
}

bool cpu_has_bf16() {
    return cpu_has("avx512_bf16") || cpu_has("amx_bf16");
}

bool cpu_has_amx() {
    return cpu_has("amx_bf16");
}

std::string describe_cpu() {
    constexpr std::array<std::pair<const char*, const char*>, 5> features{{
        {"avx2", "AVX2"},
        {"avx512f", "AVX512"},
        {"avx512_bf16", "AVX512-BF16"},
        {"amx_bf16", "AMX-BF16"},
        {"asimd", "NEON"},
    }};
    std::string name = cpu_field("model name");
    std::string text = name.empty() ? "unknown CPU" : name;
    for (const auto& [flag, label] : features)
        if (cpu_has(flag))
            text += c10::str(", ", label);
    return c10::str(text, ", ", at::get_num_threads(), " threads");
}

std::vector<std::string> describe_gpus() {
    std::vector<std::string> lines;
    const std::optional<CudaDriver> driver = CudaDriver::open();
    for (int i = 0; driver && i < driver->count(); ++i) {
        const CudaDriver::Device device = driver->device(i);
        lines.push_back(c10::str("cuda:", i, " ", device.name, " (", device.memory_bytes >> 30,
                                 " GiB, compute ", device.major, ".", device.minor, ")"));
    }
    return lines;
}

void set_threads(int64_t threads) {
    if (threads < 0 || threads > INT_MAX)
        throw UsageError("--threads", c10::str(threads, " is out of range"), "take 0 or more");
    if (threads > 0)
        at::set_num_threads(static_cast<int>(threads));
}

void tune_allocator() {
    install_allocator();
#ifdef __GLIBC__
    constexpr int top_pad_bytes = 256 << 20;
    // NOLINTBEGIN(concurrency-mt-unsafe): called first in main
    mallopt(M_ARENA_MAX, 1);             // one heap: threads would each keep blocks of their own
    mallopt(M_MMAP_THRESHOLD, INT_MAX);  // blocks come from the heap instead of fresh pages
    mallopt(M_TRIM_THRESHOLD, INT_MAX);  // the heap's top is given back only above 2 GiB
    mallopt(M_TOP_PAD, top_pad_bytes);
    // NOLINTEND(concurrency-mt-unsafe)
#endif
}

void release_memory() {
    release_kept_blocks();
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

}  // namespace weft
