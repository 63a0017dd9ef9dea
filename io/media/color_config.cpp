#include "io/media/color_config.h"

#include <ATen/Parallel.h>
#include <OpenColorIO/OpenColorIO.h>
#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <set>
#include <sstream>
#include <utility>

#include "io/files/error.h"
#include "io/media/builtin_spaces.h"
#include "io/media/lut_check.h"

namespace weft {
namespace fs = std::filesystem;
namespace ocio = OCIO_NAMESPACE;

namespace {

constexpr const char* builtin_name = "builtin";
constexpr uintmax_t most_config_bytes = 16 << 20;
constexpr int64_t rows_a_task = 16;

std::string lower(std::string text) {
    for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
}

/// OpenColorIO's own words as part of one line of ours.
std::string one_line(const char* text) {
    std::string line;
    for (const char c : std::string(text)) {
        const bool blank = std::isspace(static_cast<unsigned char>(c)) != 0;
        if (!blank || (!line.empty() && line.back() != ' '))
            line += blank ? ' ' : c;
        if (line.size() > 240)
            return line + " ...";
    }
    return line;
}

/// Edits that turn one name into the other (Levenshtein 1965).
size_t distance(const std::string& a, const std::string& b) {
    std::vector<size_t> row(b.size() + 1);
    for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= a.size(); ++i) {
        size_t diagonal = std::exchange(row[0], i);
        for (size_t j = 1; j <= b.size(); ++j) {
            const size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = std::exchange(row[j], std::min({changed, row[j] + 1, row[j - 1] + 1}));
        }
    }
    return row[b.size()];
}

/// How unlike a wanted name is: names that hold it whole are the nearest.
size_t unlikeness(const std::string& wanted, const std::string& name) {
    const std::string a = lower(wanted);
    const std::string b = lower(name);
    return a.size() > 1 && b.find(a) != std::string::npos ? 0 : distance(a, b);
}

/// The file that a choice names; empty: the built-in configuration.
fs::path file_of(const std::string& choice) {
    if (choice == builtin_name)
        return {};
    std::string text = choice;
    const char* set = std::getenv("OCIO");  // NOLINT(concurrency-mt-unsafe)
    if (text.empty() && set != nullptr)
        text = set;
    fs::path path = text;
    std::error_code ignored;
    return fs::is_directory(path, ignored) ? path / "config.ocio" : path;
}

ocio::ConstConfigRcPtr read_config(const fs::path& path) {
    if (path.empty()) {
        std::istringstream text(builtin_config());
        return ocio::Config::CreateFromStream(text);
    }
    std::error_code failed;
    if (!fs::is_regular_file(path, failed))
        throw Error(path.string(), "is no file with a colour configuration",
                    "give a config.ocio to --ocio or $OCIO, or --ocio builtin");
    if (fs::file_size(path, failed) > most_config_bytes)
        throw Error(path.string(), "is too large for a colour configuration",
                    "give a config.ocio of at most 16 MiB");
    try {
        ocio::ConstConfigRcPtr config = ocio::Config::CreateFromFile(path.c_str());
        config->validate();
        return config;
    } catch (const ocio::Exception& error) {
        throw Error(path.string(), "is no colour configuration: " + one_line(error.what()),
                    "give an OpenColorIO configuration of version 1 or 2 to 2.1");
    }
}

/// Checks the tables that a transform reads, before OpenColorIO does.
class TableWalk {
  public:
    explicit TableWalk(const ocio::Config& config) : config_(config) {}

    // Spaces and transforms name each other; each space is walked once.
    // NOLINTNEXTLINE(misc-no-recursion)
    void space(const char* name) {
        const ocio::ConstColorSpaceRcPtr space = config_.getColorSpace(name);
        if (space == nullptr || !seen_.insert(std::string("space ") + space->getName()).second)
            return;
        transform(space->getTransform(ocio::COLORSPACE_DIR_TO_REFERENCE));
        transform(space->getTransform(ocio::COLORSPACE_DIR_FROM_REFERENCE));
    }

    /// Looks and view transforms may come into any conversion.
    void common() {
        for (int i = 0; i < config_.getNumLooks(); ++i) {
            const auto look = config_.getLook(config_.getLookNameByIndex(i));
            transform(look->getTransform());
            transform(look->getInverseTransform());
        }
        for (int i = 0; i < config_.getNumViewTransforms(); ++i) {
            const auto view = config_.getViewTransform(config_.getViewTransformNameByIndex(i));
            transform(view->getTransform(ocio::VIEWTRANSFORM_DIR_TO_REFERENCE));
            transform(view->getTransform(ocio::VIEWTRANSFORM_DIR_FROM_REFERENCE));
        }
    }

  private:
    // NOLINTNEXTLINE(misc-no-recursion)
    void transform(const ocio::ConstTransformRcPtr& part) {
        if (const auto group = ocio::DynamicPtrCast<const ocio::GroupTransform>(part)) {
            for (int i = 0; i < group->getNumTransforms(); ++i) transform(group->getTransform(i));
        } else if (const auto table = ocio::DynamicPtrCast<const ocio::FileTransform>(part)) {
            file(table->getSrc());
        } else if (const auto way = ocio::DynamicPtrCast<const ocio::ColorSpaceTransform>(part)) {
            space(way->getSrc());
            space(way->getDst());
        } else if (const auto look = ocio::DynamicPtrCast<const ocio::LookTransform>(part)) {
            space(look->getSrc());
            space(look->getDst());
        } else if (const auto view = ocio::DynamicPtrCast<const ocio::DisplayViewTransform>(part)) {
            space(view->getSrc());
            space(config_.getDisplayViewColorSpaceName(view->getDisplay(), view->getView()));
        }
    }

    void file(const char* source) {
        const std::string path = config_.getCurrentContext()->resolveFileLocation(source);
        if (seen_.insert("file " + path).second)
            check_lut(path);
    }

    const ocio::Config& config_;
    std::set<std::string> seen_;
};

torch::Tensor applied(const ocio::CPUProcessor& processor, const torch::Tensor& rgb) {
    TORCH_CHECK(rgb.dim() == 3 && rgb.size(0) == 3, "a picture of [3, h, w], got ", rgb.sizes());
    torch::Tensor result = rgb.to(torch::kFloat32).nan_to_num(0.0).contiguous();
    const int64_t height = result.size(1);
    const int64_t width = result.size(2);
    auto* red = result.data_ptr<float>();
    at::parallel_for(0, height, rows_a_task, [&](int64_t from, int64_t to) {
        float* first = red + from * width;
        ocio::PlanarImageDesc rows(first, first + height * width, first + 2 * height * width,
                                   nullptr, static_cast<long>(width), static_cast<long>(to - from));
        processor.apply(rows);
    });
    return result;
}

}  // namespace

struct ColorConfig::Library {
    std::string name;
    ocio::ConstConfigRcPtr config;

    bool has_role(const char* role) const { return config->hasRole(role); }
};

ColorConfig::ColorConfig(std::shared_ptr<const Library> library) : library_(std::move(library)) {}

ColorConfig ColorConfig::open(const std::string& choice) {
    ocio::SetLoggingLevel(ocio::LOGGING_LEVEL_NONE);
    const fs::path path = file_of(choice);
    return ColorConfig(std::make_shared<const Library>(
        Library{.name = path.empty() ? builtin_name : path.string(), .config = read_config(path)}));
}

const std::string& ColorConfig::name() const {
    return library_->name;
}

std::vector<ColorSpaceEntry> ColorConfig::spaces() const {
    const ocio::Config& config = *library_->config;
    std::vector<ColorSpaceEntry> list;
    for (int i = 0; i < config.getNumColorSpaces(); ++i) {
        const auto space = config.getColorSpace(config.getColorSpaceNameByIndex(i));
        ColorSpaceEntry entry{.name = space->getName(),
                              .aliases = {},
                              .description = one_line(space->getDescription())};
        for (size_t j = 0; j < space->getNumAliases(); ++j)
            entry.aliases.emplace_back(space->getAlias(j));
        list.push_back(std::move(entry));
    }
    return list;
}

std::string ColorConfig::space(const std::string& text) const {
    if (const auto found = library_->config->getColorSpace(text.c_str())) {
        if (found->isData())
            throw UsageError("--colorspace", c10::str("'", text, "' holds numbers, no colours"),
                             "name the space of the pictures");
        return found->getName();
    }
    std::vector<std::pair<size_t, std::string>> near;
    for (const ColorSpaceEntry& entry : spaces()) {
        size_t least = unlikeness(text, entry.name);
        for (const std::string& alias : entry.aliases)
            least = std::min(least, unlikeness(text, alias));
        near.emplace_back(least, entry.name);
    }
    std::stable_sort(near.begin(), near.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::string list;
    for (size_t i = 0; i < std::min<size_t>(near.size(), 4); ++i)
        list += (i == 0 ? "" : ", ") + near[i].second;
    throw UsageError(
        "--colorspace", c10::str("'", text, "' is no colour space of ", name(), "; near: ", list),
        name() == builtin_name ? "weft doctor lists them all" : "weft inspect lists them all");
}

std::string ColorConfig::linear_space() const {
    for (const char* role : {ocio::ROLE_SCENE_LINEAR, "aces_interchange", "reference"}) {
        if (library_->has_role(role))
            return library_->config->getColorSpace(role)->getName();
    }
    throw Error(name(), "names no space of linear light",
                "add the role scene_linear to the configuration");
}

std::string ColorConfig::display_space() const {
    const ocio::Config& config = *library_->config;
    for (const char* place : {ocio::ROLE_MATTE_PAINT, ocio::ROLE_COLOR_PICKING, "sRGB - Texture",
                              "Utility - sRGB - Texture", "srgb_texture", "sRGB"}) {
        const auto found = config.getColorSpace(place);
        if (found != nullptr && !found->isData())
            return found->getName();
    }
    throw UsageError("--colorspace", c10::str("'", name(), "' names no space of pictures"),
                     "name what the model is to see: IN:MODEL");
}

struct ColorConfig::Processor {
    ocio::ConstCPUProcessorRcPtr cpu;
};

ColorConfig::Processor ColorConfig::processor(const std::string& from,
                                              const std::string& to) const {
    try {
        TableWalk walk(*library_->config);
        walk.space(from.c_str());
        walk.space(to.c_str());
        walk.common();
        const auto processor = library_->config->getProcessor(from.c_str(), to.c_str());
        return {processor->getOptimizedCPUProcessor(ocio::BIT_DEPTH_F32, ocio::BIT_DEPTH_F32,
                                                    ocio::OPTIMIZATION_LOSSLESS)};
    } catch (const ocio::Exception& error) {
        throw Error(name(),
                    c10::str("cannot go from '", from, "' to '", to, "': ", one_line(error.what())),
                    "choose other colour spaces, or mend the configuration");
    }
}

ColorTransform ColorConfig::transform(const std::string& from, const std::string& to) const {
    return [cpu = processor(from, to).cpu](const torch::Tensor& rgb) { return applied(*cpu, rgb); };
}

std::string ColorConfig::transform_key(const std::string& from, const std::string& to) const {
    return processor(from, to).cpu->getCacheID();
}

std::optional<ColorTag> ColorConfig::tag_of(const std::string& space) const {
    return name() == builtin_name ? builtin_tag(space) : std::nullopt;
}

}  // namespace weft
