#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/media/frame.h"
#include "io/media/reader.h"
#include "io/media/writer.h"

namespace weft::test {

/// A folder for the files of this run, removed when the program ends.
const std::filesystem::path& scratch();

/// Runs the ffmpeg tool quietly with these arguments; fails the test where it fails.
void ffmpeg(const std::string& arguments);

/// A clip of this run made by the ffmpeg tool as `ffmpeg ARGUMENTS NAME`, made once.
std::filesystem::path clip(const std::string& name, const std::string& arguments);

/// Arguments for a moving test picture.
std::string moving(const std::string& size, const std::string& rate, const std::string& seconds);

/// What a shell command prints, by line.
std::vector<std::string> output_of(const std::string& command);

/// Times of the frames as ffprobe sees them, in seconds.
std::vector<double> probed_times(const std::filesystem::path& path);

/// Digest of the packets of an audio stream, ffmpeg's `-c copy -f md5`.
std::string packet_digest(const std::filesystem::path& path, int audio = 0);

/// One field of the picture's stream as ffprobe prints it, e.g. "color_space".
std::string stream_field(const std::filesystem::path& path, const std::string& field);

/// All frames.
std::vector<Frame> frames_of(const std::filesystem::path& path);

/// What a copy told.
struct Told {
    std::vector<std::string> reader;
    std::vector<std::string> writer;
};

/// Reads `part` of `in` and writes it unchanged, with all other streams: the edit of strength 0.
Told copy_clip(const std::filesystem::path& in, const std::filesystem::path& out,
               WriteOptions options = {}, const ReadOptions& part = {});

/// Peak signal to noise ratio in dB of two pictures in 0..1; 120 where they are equal.
double psnr(const torch::Tensor& a, const torch::Tensor& b);

/// Names in the scratch folder that contain `part`.
std::vector<std::string> files_with(const std::string& part);

}  // namespace weft::test
