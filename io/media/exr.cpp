#include "io/media/exr.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>

namespace weft {
namespace {

constexpr uint32_t half_type = 1;
constexpr size_t most_header_bytes = 1 << 16;

/// Reads little-endian numbers and zero-terminated names; an empty view once the bytes end.
class Cursor {
  public:
    explicit Cursor(std::string_view bytes) : rest_(bytes) {}

    std::string_view take(size_t count) {
        count = std::min(count, rest_.size());
        const std::string_view taken = rest_.substr(0, count);
        rest_.remove_prefix(count);
        return taken;
    }

    std::string_view name() {
        const size_t end = rest_.find('\0');
        const std::string_view found = rest_.substr(0, end);
        rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
        return found;
    }

    uint32_t number() {
        const std::string_view bytes = take(4);
        uint32_t value = 0;
        for (size_t i = bytes.size(); i-- > 0;)
            value = value << 8 | static_cast<unsigned char>(bytes[i]);
        return value;
    }

    bool ended() const { return rest_.empty(); }

  private:
    std::string_view rest_;
};

/// True where no colour channel of the list is wider than a half float. Each entry is a name, a
/// type and 12 bytes more.
bool all_half(Cursor list) {
    bool any = false;
    while (!list.ended()) {
        const std::string_view name = list.name();
        const uint32_t type = list.number();
        list.take(12);
        if (name.empty())
            break;
        const bool color = name == "R" || name == "G" || name == "B" || name == "Y";
        if (color && type != half_type)
            return false;
        any = any || color;
    }
    return any;
}

}  // namespace

int exr_channel_bits(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::string bytes(most_header_bytes, '\0');
    file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    bytes.resize(static_cast<size_t>(file.gcount()));
    Cursor header(bytes);
    if (header.number() != 20000630)  // the format's magic number
        return 32;
    header.number();
    while (!header.ended()) {
        const std::string_view name = header.name();
        const std::string_view type = header.name();
        const std::string_view value = header.take(header.number());
        if (name == "channels" && type == "chlist")
            return all_half(Cursor(value)) ? 16 : 32;
        if (name.empty())
            break;
    }
    return 32;
}

}  // namespace weft
