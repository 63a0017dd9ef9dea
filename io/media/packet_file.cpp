#include "io/media/packet_file.h"

#include <c10/util/Exception.h>
#include <c10/util/StringUtil.h>

#include <array>
#include <cstring>
#include <string_view>
#include <utility>

#include "io/files/error.h"

extern "C" {
#include <libavutil/crc.h>
}

namespace weft {
namespace {

constexpr std::string_view head_word = "weftpkt1";
constexpr std::string_view end_word = "weftend1";
constexpr size_t word_bytes = 8;
constexpr uint64_t summary_bytes = 64;
constexpr uint64_t longest_text = 16 << 20;
constexpr uint32_t most_side_data = 64;

uint32_t crc_of(uint32_t before, const void* data, size_t size) {
    return av_crc(av_crc_get_table(AV_CRC_32_IEEE_LE), before, static_cast<const uint8_t*>(data),
                  size);
}

/// A number as little-endian bytes.
template <class Number>
std::array<uint8_t, sizeof(Number)> to_bytes(Number value) {
    std::array<uint8_t, sizeof(Number)> bytes{};
    auto rest = static_cast<std::make_unsigned_t<Number>>(value);
    for (uint8_t& byte : bytes) {
        byte = static_cast<uint8_t>(rest & 0xff);
        rest = static_cast<std::make_unsigned_t<Number>>(static_cast<uint64_t>(rest) >> 8);
    }
    return bytes;
}

template <class Number>
Number from_bytes(const uint8_t* bytes) {
    uint64_t value = 0;
    for (size_t i = sizeof(Number); i-- > 0;) value = value << 8 | bytes[i];
    return static_cast<Number>(value);
}

}  // namespace

PacketFileWriter::PacketFileWriter(const std::filesystem::path& path, const std::string& digest,
                                   const std::string& description)
    : file_(path) {
    bytes(head_word.data(), word_bytes);
    text(digest);
    text(description);
}

void PacketFileWriter::bytes(const void* data, size_t size) {
    file_.write(data, size);
    crc_ = crc_of(crc_, data, size);
}

template <class Number>
void PacketFileWriter::number(Number value) {
    const auto raw = to_bytes(value);
    bytes(raw.data(), raw.size());
}

void PacketFileWriter::text(const std::string& value) {
    number(static_cast<uint64_t>(value.size()));
    bytes(value.data(), value.size());
}

void PacketFileWriter::put(const AVPacket& packet) {
    number(packet.pts);
    number(packet.dts);
    number(packet.duration);
    number(static_cast<uint32_t>(packet.flags));
    number(static_cast<uint32_t>(packet.side_data_elems));
    number(static_cast<uint64_t>(packet.size));
    bytes(packet.data, static_cast<size_t>(packet.size));
    for (int i = 0; i < packet.side_data_elems; ++i) {
        const AVPacketSideData& side = packet.side_data[i];
        number(static_cast<uint32_t>(side.type));
        number(static_cast<uint64_t>(side.size));
        bytes(side.data, side.size);
    }
    ++packets_;
}

void PacketFileWriter::finish(PacketSummary summary) {
    const uint32_t crc = crc_;
    bytes(end_word.data(), word_bytes);
    number(packets_);
    for (const Time& time : {summary.start, summary.end}) {
        number(time.num());
        number(time.den());
    }
    number(static_cast<uint64_t>(summary.lost_alpha ? 1 : 0));
    number(static_cast<uint64_t>(crc));
    file_.commit();
}

PacketFileReader::PacketFileReader(std::filesystem::path path)
    : path_(std::move(path)), file_(path_, std::ios::binary) {
    std::error_code failed;
    const auto size = std::filesystem::file_size(path_, failed);
    if (failed || !file_ || size < summary_bytes + word_bytes)
        damaged();
    end_ = size - summary_bytes;
    read_summary();
    std::array<char, word_bytes> word{};
    bytes(word.data(), word.size());
    if (std::memcmp(word.data(), head_word.data(), word_bytes) != 0)
        damaged();
    digest_ = text();
    description_ = text();
    first_ = place_;
    first_crc_ = crc_;
}

void PacketFileReader::damaged() const {
    throw Error(path_.string(), "is no whole segment of a clip",
                "delete it and run again; it is then made anew");
}

void PacketFileReader::read_summary() {
    std::array<uint8_t, summary_bytes> raw{};
    file_.seekg(static_cast<std::streamoff>(end_));
    file_.read(reinterpret_cast<char*>(raw.data()), raw.size());
    if (!file_ || std::memcmp(raw.data(), end_word.data(), word_bytes) != 0)
        damaged();
    std::array<int64_t, 7> field{};
    for (size_t i = 0; i < field.size(); ++i)
        field[i] = from_bytes<int64_t>(raw.data() + word_bytes * (i + 1));
    if (field[0] < 1 || field[2] < 1 || field[4] < 1)
        damaged();
    summary_ = {field[0], Time(field[1], field[2]), Time(field[3], field[4]), field[5] != 0};
    promised_crc_ = static_cast<uint32_t>(field[6]);
    file_.seekg(0);
}

void PacketFileReader::rewind() {
    file_.clear();
    file_.seekg(static_cast<std::streamoff>(first_));
    place_ = first_;
    crc_ = first_crc_;
    read_ = 0;
}

void PacketFileReader::check_room(uint64_t size) const {
    if (size > end_ - place_)
        damaged();
}

void PacketFileReader::bytes(void* data, uint64_t size) {
    check_room(size);
    file_.read(static_cast<char*>(data), static_cast<std::streamsize>(size));
    if (!file_)
        damaged();
    place_ += size;
    crc_ = crc_of(crc_, data, size);
}

template <class Number>
Number PacketFileReader::number() {
    std::array<uint8_t, sizeof(Number)> raw{};
    bytes(raw.data(), raw.size());
    return from_bytes<Number>(raw.data());
}

std::string PacketFileReader::text() {
    const auto size = number<uint64_t>();
    if (size > longest_text)
        damaged();
    check_room(size);
    std::string value(size, '\0');
    bytes(value.data(), size);
    return value;
}

bool PacketFileReader::next(AVPacket& packet) {
    if (read_ == summary_.packets) {
        if (place_ != end_ || crc_ != promised_crc_)
            damaged();
        return false;
    }
    ++read_;
    av_packet_unref(&packet);
    const auto pts = number<int64_t>();
    const auto dts = number<int64_t>();
    const auto duration = number<int64_t>();
    const auto flags = number<uint32_t>();
    const auto sides = number<uint32_t>();
    const auto size = number<uint64_t>();
    check_room(size);
    if (sides > most_side_data || size > INT32_MAX / 2)
        damaged();
    TORCH_CHECK(av_new_packet(&packet, static_cast<int>(size)) >= 0, "out of memory");
    bytes(packet.data, size);
    packet.pts = pts;
    packet.dts = dts;
    packet.duration = duration;
    packet.flags = static_cast<int>(flags);
    for (uint32_t i = 0; i < sides; ++i) {
        const auto type = static_cast<AVPacketSideDataType>(number<uint32_t>());
        const auto length = number<uint64_t>();
        check_room(length);
        uint8_t* room = av_packet_new_side_data(&packet, type, length);
        TORCH_CHECK(room != nullptr, "out of memory");
        bytes(room, length);
    }
    return true;
}

std::vector<int64_t> PacketFileReader::times() {
    rewind();
    std::vector<int64_t> times;
    const PacketHandle packet = make_packet();
    while (next(*packet)) times.push_back(packet->pts);
    rewind();
    return times;
}

}  // namespace weft
