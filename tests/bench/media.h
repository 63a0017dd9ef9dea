#pragma once

namespace weft {

/// A 1080p H.264 clip decoded to RGB float and encoded again (x264 veryfast) without a model,
/// against the ffmpeg tool doing the same through 8-bit RGB: both as programs of their own, in
/// turns, the least time of each. Prints one JSON line.
void bench_media();

/// The program that bench_media times: copies argv[2] to argv[3]. Returns its exit code.
int copy_for_bench(const char* in, const char* out);

}  // namespace weft
