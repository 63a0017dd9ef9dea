#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace weft::test {

using Fields = std::map<std::string, std::string>;

/// A file as ffprobe prints it: its sections by kind ("stream", "packet", "frame" ...), each with
/// its fields.
using Probe = std::multimap<std::string, Fields>;

Probe probe(const std::filesystem::path& path);

/// The sections of one kind, in the file's order.
std::vector<Fields> sections(const Probe& probe, const std::string& kind);

/// A field, empty where it is not there.
std::string value(const Fields& fields, const std::string& key);

/// The stream of the picture; covers are not it.
Fields picture_of(const Probe& probe);

/// Times of the picture's frames in seconds.
std::vector<double> times_of(const Probe& probe);

/// A path for the shell.
std::string quoted(const std::filesystem::path& path);

}  // namespace weft::test
