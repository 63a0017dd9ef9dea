#include "io/media/picture.h"

#include <string>

#include "io/files/error.h"
#include "io/media/image_coder.h"
#include "io/media/output_file.h"
#include "io/media/reader.h"

namespace weft {
namespace fs = std::filesystem;

namespace {

/// A picture as its tensor tells: 8 bit, sRGB.
StreamInfo info_of(const torch::Tensor& pixels) {
    StreamInfo info;
    info.height = pixels.size(1);
    info.width = pixels.size(2);
    info.has_alpha = pixels.size(0) == 4;
    info.color = {.matrix = AVCOL_SPC_RGB,
                  .primaries = AVCOL_PRI_BT709,
                  .transfer = AVCOL_TRC_IEC61966_2_1,
                  .range = ColorRange::full,
                  .chroma = ChromaLocation::unspecified};
    return info;
}

}  // namespace

torch::Tensor read_picture(const fs::path& path) {
    const std::unique_ptr<FrameSource> source = open_video(path, {.threads = 1});
    std::optional<Frame> frame = source->next();
    if (!frame)
        throw Error(path.string(), "holds no picture", "choose another file");
    return frame->pixels;
}

void write_picture(const fs::path& path, const torch::Tensor& pixels) {
    TORCH_CHECK(pixels.dim() == 3 && (pixels.size(0) == 3 || pixels.size(0) == 4),
                "a picture of [3|4, h, w] is needed, got ", pixels.sizes());
    const ImageCoder coder(image_format_for(path), info_of(pixels));
    OutputFile output(path, OutputFile::Existing::replace);
    write_bytes(output.part(), *coder.encode(pixels), path.string());
    output.commit();
}

}  // namespace weft
