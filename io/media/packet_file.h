#pragma once

// A file of encoded packets with exact times, for sources of io/media only.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "io/files/whole_file.h"
#include "io/media/libav.h"

namespace weft {

// Note [Packet file]
// All numbers are little-endian. "weftpkt1", then two texts (a 64-bit length, the bytes): the
// digest, and the stream's description. Then the packets in decoding order: pts, dts, duration (64
// bits each, in the stream's time base), flags and number of side data (32 bits each), a length (64
// bits) and the bytes; for each side data its type (32 bits), a length (64 bits) and the bytes. The
// last 64 bytes are the summary: "weftend1", number of packets, start and end (numerator and
// denominator, in seconds), flags, and the CRC-32 of everything before the summary.

/// What a packet file ends with.
struct PacketSummary {
    int64_t packets = 0;
    Time start;  // of the picture, on the output's clock
    Time end;
    bool lost_alpha = false;
};

/// Writes a packet file that appears whole or not at all. Thread-safe: no.
class PacketFileWriter {
  public:
    PacketFileWriter(const std::filesystem::path& path, const std::string& digest,
                     const std::string& description);

    void put(const AVPacket& packet);
    /// `summary.packets` is counted here.
    void finish(PacketSummary summary);

  private:
    void bytes(const void* data, size_t size);
    template <class Number>
    void number(Number value);
    void text(const std::string& value);

    WholeFile file_;
    uint32_t crc_ = 0;
    int64_t packets_ = 0;
};

/// Reads one. Sizes are checked against the file before anything is allocated. Thread-safe: no.
class PacketFileReader {
  public:
    /// Throws Error where the file is missing, cut short or no packet file.
    explicit PacketFileReader(std::filesystem::path path);

    const std::string& digest() const { return digest_; }

    const std::string& description() const { return description_; }

    const PacketSummary& summary() const { return summary_; }

    /// The next packet; false after the last, when the checksum has been found right.
    bool next(AVPacket& packet);

    /// Presentation times of all packets in decoding order, from the file's first packet on; the
    /// reader is at its first packet before and after.
    std::vector<int64_t> times();

  private:
    void bytes(void* data, uint64_t size);
    template <class Number>
    Number number();
    std::string text();
    void check_room(uint64_t size) const;
    void read_summary();
    void rewind();
    [[noreturn]] void damaged() const;

    std::filesystem::path path_;
    std::ifstream file_;
    uint64_t place_ = 0;
    uint64_t first_ = 0;  // place of the first packet
    uint64_t end_ = 0;    // place of the summary
    uint32_t crc_ = 0;
    uint32_t first_crc_ = 0;
    uint32_t promised_crc_ = 0;
    int64_t read_ = 0;
    std::string digest_;
    std::string description_;
    PacketSummary summary_;
};

}  // namespace weft
